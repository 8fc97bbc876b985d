// One key or one team beside the list: all that is known of it, and what may be done with it.

import { post, remove } from "./api.js";
import { budgetBar } from "./budget_bar.js";
import { confirmAction, open } from "./dialog.js";
import { h } from "./dom.js";
import { count, moment } from "./format.js";
import { editKey, editTeam, rotateKey } from "./key_forms.js";
import { money } from "./money.js";
import { toast } from "./toast.js";

export const STATES = {
  active: ["ok", "active"],
  blocked: ["bad", "blocked"],
  expired: ["warn", "expired"],
};

/** The state as a coloured word.
 * @param {string} state */
export function stateChip(state) {
  const [tone, word] = STATES[state] ?? ["warn", state];
  return h("span", { class: "chip", "data-tone": tone }, word);
}

export const when = (at) =>
  at === null || at === undefined ? null : moment(at, Date.now() / 1000);

/** @param {{rpm: number | null, tpm: number | null, concurrent: number | null}} limits */
export function limitWords(limits) {
  const words = [
    limits.rpm && `${count(limits.rpm)} calls/min`,
    limits.tpm && `${count(limits.tpm)} tokens/min`,
    limits.concurrent && `${count(limits.concurrent)} at once`,
  ];
  return words.filter(Boolean).join(", ");
}

/** Shows a key. `mayChange`: its reader is an admin; `changed()` reads the list again.
 * @param {KeyView} key
 * @param {{mayChange: boolean, changed: () => void, closed: () => void}} options */
export function showKey(key, { mayChange, changed, closed }) {
  const configured = key.source === "config";
  const path = `admin/keys/${encodeURIComponent(key.id)}`;
  const blocked = key.state === "blocked";
  const acts = [
    ["Edit…", () => editKey(key, changed)],
    ["Rotate…", () => rotateKey(key, changed)],
    [blocked ? "Unblock" : "Block…", () => block(path, key.name, !blocked, "key", changed)],
    ["Delete…", () => removeKey(path, key, changed)],
  ];
  panel({
    title: key.name,
    chip: stateChip(key.state),
    note: configured ? "This key comes from the config file and is changed there." : "",
    acts: mayChange && !configured ? acts : [],
    budgets: key.budgets,
    facts: [
      ["Begins with", key.prefix && h("code", {}, `${key.prefix}…`)],
      ["Id", h("code", {}, key.id)],
      ["Team", key.team],
      ["Owner", key.owner],
      ["Note", key.note],
      ["Tags", key.tags.join(", ")],
      ["Models", key.models === null ? "all" : key.models.join(", ") || "none"],
      ["Limits", limitWords(key.limits) || "none of its own"],
      ["Spent in all", key.spent_usd === null ? null : money(key.spent_usd)],
      ["Last used", key.last_used_at ? when(key.last_used_at) : configured ? null : "never"],
      ["Expires", when(key.expires_at) ?? (configured ? null : "never")],
      ["Earlier key valid until", when(key.earlier_key_until)],
      ["Created", [when(key.created_at), key.created_by].filter(Boolean).join(" by ")],
    ],
    closed,
  });
}

/** @param {TeamView} team
 * @param {{mayChange: boolean, changed: () => void, closed: () => void}} options */
export function showTeam(team, { mayChange, changed, closed }) {
  const configured = team.source === "config";
  const path = `admin/teams/${encodeURIComponent(team.name)}`;
  const blocked = team.state === "blocked";
  const acts = [
    ["Edit…", () => editTeam(team, changed)],
    [blocked ? "Unblock" : "Block…", () => block(path, team.name, !blocked, "team", changed)],
    ["Delete…", () => removeTeam(path, team, changed)],
  ];
  panel({
    title: team.name,
    chip: stateChip(team.state),
    note: configured ? "This team comes from the config file and is changed there." : "",
    acts: mayChange && !configured ? acts : [],
    budgets: team.budgets,
    facts: [
      ["Owner", team.owner],
      ["Note", team.note],
      ["Keys", team.keys === null ? null : count(team.keys)],
      ["Members", team.members.map((member) => `${member.person} (${member.role})`).join(", ")],
      ["Models", team.models === null ? "all" : team.models.join(", ") || "none"],
      ["Limits", limitWords(team.limits) || "none of its own"],
      ["Created", when(team.created_at)],
    ],
    closed,
  });
}

function panel({ title, chip, note, acts, budgets, facts, closed }) {
  const close = h("button", { type: "button", class: "quiet" }, "Close");
  const buttons = acts.map(([words, act]) => {
    const onclick = () => {
      dialog.close();
      act();
    };
    const kind = words.startsWith("Delete") ? "risky" : "";
    return h("button", { type: "button", class: kind, onclick }, words);
  });
  const dialog = h(
    "dialog",
    { class: "trace", "aria-labelledby": "panel-title" },
    h("header", {}, h("h2", { id: "panel-title", dir: "auto" }, title), close),
    h(
      "div",
      { class: "trace-body panel" },
      h("p", {}, chip),
      note && h("p", { class: "soft" }, note),
      acts.length > 0 && h("div", { class: "panel-acts" }, ...buttons),
      budgets.length > 0 && h("h3", {}, budgets.length > 1 ? "Budgets" : "Budget"),
      ...budgets.map((budget) => budgetBar(budget, `of ${title}`)),
      h("h3", {}, "Details"),
      h(
        "dl",
        { class: "about" },
        ...facts
          .filter(([, value]) => value)
          .flatMap(([name, value]) => [h("dt", {}, name), h("dd", { dir: "auto" }, value)]),
      ),
    ),
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", closed);
  open(dialog);
}

function block(path, name, blocked, what, changed) {
  const act = async () => {
    await post(`${path}/${blocked ? "block" : "unblock"}`);
    changed();
    return [`${name} is ${blocked ? "blocked" : "unblocked"}.`];
  };
  if (!blocked) {
    act().then(
      ([line]) => toast(line),
      (refused) => toast(refused.message, "bad"),
    );
    return;
  }
  const whose = what === "team" ? "All keys of the team are" : "The key is";
  confirmAction({
    title: `Block ${name}?`,
    text: `${whose} refused on all instances within a second. Calls in flight finish. You can unblock it at any time.`,
    verb: "Block",
    danger: true,
    act,
    done: toast,
  });
}

function removeKey(path, key, changed) {
  confirmAction({
    title: `Delete ${key.name}?`,
    text: `The key ${key.prefix}… is refused on all instances within a second, for ever. What it has spent stays in the figures. To stop it for a while, block it instead.`,
    verb: "Delete key",
    danger: true,
    act: async () => {
      await remove(path);
      changed();
      return [`${key.name} is deleted.`];
    },
    done: toast,
  });
}

function removeTeam(path, team, changed) {
  confirmAction({
    title: `Delete the team ${team.name}?`,
    text: "Only a team without keys can be deleted. What it has spent stays in the figures.",
    verb: "Delete team",
    danger: true,
    act: async () => {
      await remove(path);
      changed();
      return [`The team ${team.name} is deleted.`];
    },
    done: toast,
  });
}
