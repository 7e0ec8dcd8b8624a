// A textarea for code: line numbers, marks at lines with faults, and Tab that indents.

import { h, newId, put } from "../dom.js";

const INDENT = "  ";

/**
 * @param {{label: string, value?: string, onInput?: (text: string) => void, readonly?: boolean}} options
 * @returns {{node: Node, control: HTMLTextAreaElement, value(): string, set(text): void, mark(faults: {line: ?number, message: string}[]): void, goTo(line): void}}
 */
export function linedEditor({ label, value = "", onInput = () => {}, readonly = false }) {
  const hint = newId("editor");
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" });
  const control = h("textarea", { "aria-label": label, "aria-describedby": hint, spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off", value, readonly, on: { input: changed, keydown: onKey, scroll: follow } });
  const node = h("div", null,
    h("div", { class: "lined" }, gutter, control),
    h("p", { class: "only-heard", id: hint }, "Tab indents. To leave by Tab, press Escape before."));
  let marks = new Map();
  let numbered = 0;
  let leaves = false;

  function changed() {
    number();
    onInput(control.value);
  }

  function number(anew = false) {
    const lines = control.value.split("\n").length;
    if (lines !== numbered || anew) {
      numbered = lines;
      put(gutter, Array.from({ length: lines }, (_, index) => h("span", { class: marks.has(index + 1) && "bad", title: marks.get(index + 1) }, index + 1)));
    }
    follow();
  }

  function follow() {
    gutter.scrollTop = control.scrollTop;
  }

  function onKey(event) {
    if (event.key === "Escape") {
      leaves = true;
      return;
    }
    if (event.key === "Tab" && !leaves && !readonly && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      indent(event.shiftKey);
    } else if (event.key === "Enter" && !readonly && !event.isComposing) {
      event.preventDefault();
      const before = control.value.slice(0, control.selectionStart);
      insert(`\n${/^[ ]*(?:- )?/.exec(before.slice(before.lastIndexOf("\n") + 1))[0].replace("-", " ")}`);
    }
    if (!["Shift", "Control", "Alt", "Meta"].includes(event.key)) {
      leaves = false;
    }
  }

  function insert(text) {
    // The browser's own insertion keeps what undo knows.
    if (!document.execCommand("insertText", false, text)) {
      control.setRangeText(text, control.selectionStart, control.selectionEnd, "end");
      changed();
    }
  }

  function indent(back) {
    const { selectionStart: from, selectionEnd: to, value: text } = control;
    const begin = text.lastIndexOf("\n", from - 1) + 1;
    if (from === to && !back) {
      insert(INDENT);
      return;
    }
    const block = text.slice(begin, to);
    const moved = block.split("\n").map((line) => (back ? line.replace(/^ {1,2}/, "") : `${INDENT}${line}`)).join("\n");
    control.setSelectionRange(begin, to);
    insert(moved);
    control.setSelectionRange(from === to ? begin + Math.max(0, from - begin + moved.length - block.length) : begin, begin + moved.length);
  }

  number();
  return {
    node,
    control,
    value: () => control.value,
    set(text) {
      control.value = text;
      marks = new Map();
      number(true);
    },
    mark(faults) {
      marks = new Map(faults.filter((fault) => fault.line).map((fault) => [fault.line, fault.message]));
      if (faults.length) {
        control.setAttribute("aria-invalid", "true");
      } else {
        control.removeAttribute("aria-invalid");
      }
      number(true);
    },
    goTo(line) {
      const lines = control.value.split("\n");
      const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
      control.focus();
      control.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
      control.scrollTop = (control.scrollHeight / lines.length) * Math.max(0, line - 4);
    },
  };
}
