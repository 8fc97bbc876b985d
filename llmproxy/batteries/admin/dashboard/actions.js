// The operator's actions: drain, enable, clear, purge, reload.

import { post, remove } from "./api.js";
import { confirmAction } from "./dialog.js";
import { count } from "./format.js";
import { toast } from "./toast.js";

const EVERY = "every"; // a choice; groups get the prefix "g:", so that none can equal it

/** After a confirmation, drains an endpoint in one group, or in all that it serves. */
export function drain(group, endpoint, groups) {
  const among = groups.length > 1;
  confirmAction({
    title: `Drain ${endpoint}?`,
    text: "New calls go to other endpoints; calls in flight finish as usual. The endpoint stays drained until you enable it.",
    choice: among && {
      label: "In",
      options: [
        [`g:${group}`, `the group ${group}`],
        [EVERY, `all ${groups.length} groups that it serves`],
      ],
    },
    verb: "Drain",
    danger: true,
    act: async (choice) => {
      await post("admin/drain", { group: choice === EVERY ? null : group, endpoint });
      return [
        `${endpoint} is drained${among && choice !== EVERY ? ` in ${group}` : ""}: it gets no new calls.`,
      ];
    },
    done: toast,
  });
}

export const enable = (group, endpoint) =>
  report(() => post("admin/enable", { group, endpoint }), `${endpoint} is enabled in ${group}.`);

export const clear = (group, endpoint) =>
  report(
    () => post("admin/clear", { group, endpoint }),
    `Cleared the cooldown and the breaker of ${endpoint} in ${group}.`,
  );

/** After a confirmation, deletes the cached answers of all groups or of one. */
export function purge(groups) {
  confirmAction({
    title: "Purge the cache?",
    text: "Cached answers are deleted from memory and from the store behind it. Repeated requests are paid for again.",
    choice: {
      label: "Answers of",
      options: [[EVERY, "every group"], ...groups.map((group) => [`g:${group}`, group])],
    },
    verb: "Purge",
    danger: true,
    act: async (choice) => {
      const query = choice === EVERY ? "" : `?group=${encodeURIComponent(choice.slice(2))}`;
      const gone = await remove(`admin/cache${query}`);
      return [
        `Deleted ${count(gone.memory)} answers in memory and ${count(gone.second_level)} in the store.`,
      ];
    },
    done: toast,
  });
}

/** After a confirmation, reloads the config file. */
export function reload(source) {
  confirmAction({
    title: "Reload the config?",
    text: `${source} is loaded and checked. If it has an error, nothing changes. Calls in flight finish with the current config.`,
    verb: "Reload",
    act: async () => {
      const { changes } = await post("admin/reload", {});
      return [changes.length ? "Reloaded." : "Reloaded; nothing changed.", ...changes];
    },
    done: toast,
    keep: (lines) => lines.length > 1,
  });
}

async function report(act, words) {
  try {
    await act();
    toast(words);
  } catch (refused) {
    toast(refused.message, "bad");
  }
}
