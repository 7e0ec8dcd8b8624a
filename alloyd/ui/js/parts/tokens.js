// A reply as it is written: the frames of one answer, `delta` with words, then `done` or `error`.

import { ApiError } from "../api.js";

const FRAME_CHARS_MAX = 16 * 1024 * 1024;

/** Each server-sent frame of `response` as `{event, data, raw}`; `data` is text. Signs of life have neither event nor data. */
export async function* frames(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      text += value;
      const whole = text.split("\n\n");
      text = whole.pop();
      if (text.length > FRAME_CHARS_MAX) {
        throw new ApiError(0, { code: "too_large", message: "The server sent a frame that is too large." });
      }
      for (const raw of whole) {
        yield frameOf(raw);
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it has ended already, or nobody reads on
  }
}

function frameOf(raw) {
  let event = null;
  const data = [];
  for (const line of raw.split("\n")) {
    if (line.startsWith("event:")) {
      event = line.slice(6).trim();
    } else if (line.startsWith("data:")) {
      data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
  return { event, data: data.length ? data.join("\n") : null, raw };
}

/**
 * Read a reply to its end: `{text, done}`, where `done` says what it used. Raises ApiError for what the stream tells of.
 * @param {Response} response
 * @param {(text: string) => void} onText more words
 */
export async function readReply(response, onText) {
  let text = "";
  let end = null;
  for await (const frame of frames(response)) {
    if (frame.event === "error") {
      throw new ApiError(response.status, JSON.parse(frame.data), response.headers.get("X-Request-Id"));
    }
    if (frame.event === "done") {
      end = JSON.parse(frame.data);
    } else if (frame.event === "delta") {
      const { text: more } = JSON.parse(frame.data);
      if (more) {
        text += more;
        onText(more);
      }
    }
  }
  if (!end) {
    throw new ApiError(0, { code: "unreachable", message: "The connection broke before the reply was whole." });
  }
  return { text, done: end };
}

/** Tells `show(text)` of what was gathered by `add(text)`, at most once for each frame that is painted. */
export function gathered(show) {
  let waiting = "";
  let due = false;
  function flush() {
    due = false;
    if (waiting) {
      const text = waiting;
      waiting = "";
      show(text);
    }
  }
  return {
    add(text) {
      waiting += text;
      if (!due) {
        due = true;
        if (document.hidden) {
          setTimeout(flush, 500); // nothing is painted then
        } else {
          requestAnimationFrame(flush);
        }
      }
    },
    flush,
  };
}
