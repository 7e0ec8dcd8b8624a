// The overview of the organization.

import { pageHead, panel } from "../parts/basics.js";
import { eventList } from "../parts/eventlist.js";
import { organization } from "../session.js";

export default function show({ signal }) {
  const list = eventList({ signal, keep: 20 });
  return [
    pageHead({ title: "Overview", about: organization()?.name }),
    panel({ title: "What happens now", actions: [list.state], flush: true, body: list.node }),
  ];
}
