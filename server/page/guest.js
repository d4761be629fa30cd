// A guest's page: say a name, ask to be let in, wait.
//
// The guest's secret has to be sent, so it can't be a key that nobody reads.  It is kept for this tab
// alone, is good for this meeting alone, and ends with it.

import { ask } from "./api.js";
import { button, el, field, form, say, show, when } from "./dom.js";

const MESSAGES = {
  waiting: "You asked to be let in. Please wait: this page shows it at once when somebody decides.",
  declined: "You were not let in. You may ask again.",
  registered: "You are not in yet.",
  admitted: "You are in.",
};

export async function guest(token) {
  document.getElementById("nav").hidden = true;
  const kept = `guest ${token}`;
  const me = JSON.parse(sessionStorage.getItem(kept) ?? "null");
  let page;
  try {
    page = await ask("GET", `/join/${token}`);
  } catch (error) {
    return show(error.status === 404 ? "This link leads nowhere" : "Not now", el("p", { class: "card" }, error.message));
  }
  const times = el("p", { class: "soft" }, when(page.start_time, page.end_time));
  if (me) return lobby(page, times, me, () => { sessionStorage.removeItem(kept); guest(token); });
  show(page.title, times, el("section", { class: "card narrow" },
    form("Ask to be let in", async (data) => {
      const made = await ask("POST", `/join/${token}`, { display_name: data.get("name") });
      sessionStorage.setItem(kept, JSON.stringify({ ...made, name: data.get("name") }));
      await guest(token);
    }, field("Your name", el("input", { name: "name", required: true, maxlength: "255", autocomplete: "name" }), "The owner of the meeting sees it."))));
}

async function lobby(page, times, me, begin) {
  const here = `/guests/${encodeURIComponent(me.session_id)}`;
  const mine = (method, path, signal) => ask(method, path, undefined, { Authorization: `Bearer ${me.secret}` }, signal);
  const text = el("p", { role: "status", id: "state" });
  const again = button("Ask again", () => request(), "main");
  const left = new AbortController();
  const go = button("Leave", async () => { left.abort(); await mine("DELETE", here).catch(() => {}); begin(); });
  show(page.title, times, el("section", { class: "card narrow" }, el("h2", {}, me.name), text, el("div", { class: "row" }, again, go)));
  const tell = (state) => {
    text.textContent = MESSAGES[state];
    text.className = state === "admitted" ? "good" : "";
    again.hidden = state === "waiting" || state === "admitted";
  };
  async function request() {
    await mine("POST", `${here}/admission`);
    await wait();
  }
  async function wait() {
    for (;;) {
      tell("waiting");
      let state;
      try {
        state = await mine("GET", `${here}?wait=25`, left.signal);
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.status === 401 || error.status === 404) { say("The meeting is over, or you have left it."); return begin(); }
        text.textContent = error.message;
        await new Promise((resolve) => setTimeout(resolve, 3000));
        continue;
      }
      if (state.admitted === true) return tell("admitted");
      if (state.admitted === null) return tell("declined");
    }
  }
  try {
    const state = await mine("GET", here);
    if (state.admitted === true) tell("admitted");
    else if (state.admitted === false) await wait();
    else await request();
  } catch (error) {
    if (error.status === 401 || error.status === 404) return begin();
    tell("registered");
    say(error.message);
  }
}
