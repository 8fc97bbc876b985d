// The forms for keys and teams, and what they send.

import { get, patch, post } from "./api.js";
import { formDialog } from "./form_dialog.js";
import { showSecret } from "./key_secret.js";
import { budgetOrder } from "./money.js";
import { toast } from "./toast.js";

const LIMITS = /** @type {const} */ ([
  ["rpm", "Calls a minute"],
  ["tpm", "Tokens a minute"],
  ["concurrent", "Calls at once"],
]);
const NO_LIMIT = "Empty: no limit of its own.";

/** Returns the names of the teams that a form may offer. No form waits for them: keys that are pressed
 * at once must land in it. */
async function teamNames() {
  try {
    const { teams } = await get("admin/teams?limit=200");
    return teams.map((team) => team.name);
  } catch {
    return []; // a name can still be typed
  }
}

/** Asks for a new key, makes it and shows it once; `made()` is called after that.
 * @param {() => void} made
 * @param {string} [team] that the form begins with */
export function createKey(made, team = "") {
  const fields = keyFields(null, teamNames(), team);
  formDialog({
    title: "Create a key",
    text: "The key works on all instances within a second.",
    fields,
    verb: "Create key",
    act: async (values) => {
      const view = await post("admin/keys", withoutNulls(values));
      made();
      const notes = [usage(view)];
      if (view.notice) notes.push(view.notice);
      showSecret({ title: `The key ${view.name}`, secret: view.key, notes });
    },
  });
}

const usage = (view) =>
  view.team ? `Its calls are those of the team ${view.team}.` : "Its calls belong to no team.";

/** @param {KeyView} key
 * @param {() => void} changed */
export function editKey(key, changed) {
  const fields = keyFields(key, teamNames());
  formDialog({
    title: `Edit ${key.name}`,
    fields,
    verb: "Save",
    act: async (values) => {
      await patch(`admin/keys/${encodeURIComponent(key.id)}`, onlyChanged(fields, values));
      toast(`${key.name} is saved.`);
      changed();
    },
  });
}

/** @param {KeyView} key
 * @param {() => void} changed */
export function rotateKey(key, changed) {
  formDialog({
    title: `Rotate ${key.name}`,
    text: "You get a new key. The present one stays valid for a while, so that its users can change over.",
    fields: [
      {
        name: "overlap",
        label: "The present key stays valid for",
        kind: "choice",
        value: "24h",
        options: [
          ["0", "not at all: it leaked"],
          ["1h", "1 hour"],
          ["24h", "1 day"],
          ["7d", "7 days"],
          ["30d", "30 days"],
        ],
      },
    ],
    verb: "Rotate",
    act: async ({ overlap }) => {
      const view = await post(`admin/keys/${encodeURIComponent(key.id)}/rotate`, { overlap });
      changed();
      const notes = [
        overlap === "0"
          ? "The earlier key is refused from now on."
          : "The earlier key stays valid for the time that you chose.",
      ];
      showSecret({ title: `The new key ${key.name}`, secret: view.key, notes });
    },
  });
}

/** @param {(name: string) => void} made */
export function createTeam(made) {
  const fields = teamFields(null);
  formDialog({
    title: "Create a team",
    fields,
    verb: "Create team",
    act: async (values) => {
      await post("admin/teams", withoutNulls(values));
      toast(`The team ${values.name} is made.`);
      made(values.name);
    },
  });
}

/** @param {TeamView} team
 * @param {() => void} changed */
export function editTeam(team, changed) {
  const fields = teamFields(team);
  formDialog({
    title: `Edit ${team.name}`,
    fields,
    verb: "Save",
    act: async (values) => {
      const order = onlyChanged(fields, values);
      if ("members" in order) order.members = withRoles(order.members ?? [], team.members);
      await patch(`admin/teams/${encodeURIComponent(team.name)}`, order);
      toast(`${team.name} is saved.`);
      changed();
    },
  });
}

/** Keeps the roles of those who were members already. */
function withRoles(people, members) {
  const roles = new Map(members.map((member) => [member.person, member.role]));
  return people.map((person) => (roles.has(person) ? { person, role: roles.get(person) } : person));
}

/** @param {KeyView | null} key
 * @param {Promise<string[]>} teams
 * @param {string} [team]
 * @returns {import("./form_dialog.js").Field[]} */
function keyFields(key, teams, team = "") {
  return [
    {
      name: "name",
      label: "Name",
      value: key?.name,
      hint: "Spend and logs name it.",
      required: true,
    },
    {
      name: "team",
      label: "Team",
      value: key ? (key.team ?? "") : team,
      offers: teams,
      hint: "A new name makes a team.",
    },
    { name: "owner", label: "Owner", value: key?.owner ?? "", hint: "Who answers for it." },
    {
      name: "tags",
      label: "Tags",
      kind: "list",
      value: key?.tags.join(", "),
      hint: "With commas between.",
    },
    ...limitFields(key),
    {
      name: "expires",
      label: "Expires",
      value: key?.expires_at
        ? new Date(key.expires_at * 1000).toISOString().slice(0, 16) + "Z"
        : "",
      hint: "90d, 12h or a date. Empty: never.",
    },
    { name: "note", label: "Note", kind: "note", value: key?.note ?? "" },
  ];
}

/** @param {TeamView | null} team
 * @returns {import("./form_dialog.js").Field[]} */
function teamFields(team) {
  return [
    {
      name: "name",
      label: "Name",
      value: team?.name,
      required: true,
      fixed: Boolean(team),
      hint: "It stays, because spend is summed by it.",
    },
    { name: "owner", label: "Owner", value: team?.owner ?? "", hint: "Who answers for it." },
    ...limitFields(team),
    {
      name: "members",
      label: "Members",
      kind: "list",
      value: team?.members.map((member) => member.person).join(", "),
      hint: "E-mail addresses with commas between: they see this team.",
    },
    { name: "note", label: "Note", kind: "note", value: team?.note ?? "" },
  ];
}

/** @param {KeyView | TeamView | null} of
 * @returns {import("./form_dialog.js").Field[]} */
function limitFields(of) {
  const budget = of?.budgets[0];
  return [
    {
      name: "budget",
      label: "Budget",
      value: budget ? budgetOrder(budget) : "",
      hint: "200/month, 5000000 tokens/day, 50/total.",
    },
    {
      name: "models",
      label: "Models",
      kind: "list",
      value: of?.models?.join(", "),
      hint: "Patterns such as gpt-4.1*. Empty: all.",
    },
    ...LIMITS.map(([name, label]) => ({
      name,
      label,
      kind: /** @type {const} */ ("number"),
      value: of?.limits[name]?.toString() ?? "",
      hint: NO_LIMIT,
    })),
  ];
}

const withoutNulls = (values) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));

/** What nobody touched is not sent: somebody else may have changed it meanwhile. */
function onlyChanged(fields, values) {
  const inputs = new Map(fields.map((field) => [field.name, field]));
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => {
      const field = inputs.get(name);
      if (field.fixed) return false;
      const now = Array.isArray(value) ? value.join(", ") : String(value ?? "");
      return now !== (field.value ?? "").trim();
    }),
  );
}
