// What an operator can do: drain, enable, clear, purge, reload.

import { post, remove } from "./api.js";
import { question } from "./dialog.js";
import { count } from "./format.js";
import { toast } from "./toast.js";

const EVERY = "every"; // as a choice; groups are written with a prefix, so that none is taken for it

/** Asks, then drains an endpoint: in one group, or in all that it serves. */
export function drain(group, endpoint, groups) {
  const among = groups.length > 1;
  question({
    title: `Drain ${endpoint}?`,
    text: "No new attempts go there; what is under way ends as usual. It stays drained until it is enabled again.",
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
        `${endpoint} is drained${among && choice !== EVERY ? ` in ${group}` : ""}: no new attempts go there.`,
      ];
    },
    done: toast,
  });
}

export const enable = (group, endpoint) =>
  told(() => post("admin/enable", { group, endpoint }), `${endpoint} is enabled in ${group}.`);

export const clear = (group, endpoint) =>
  told(
    () => post("admin/clear", { group, endpoint }),
    `${endpoint} is tried again in ${group}: its cooldown and its breaker are cleared.`,
  );

/** Asks, then forgets the cached answers of all groups or of one. */
export function purge(groups) {
  question({
    title: "Purge the cache?",
    text: "The answers are forgotten, here and in the store behind. The same questions cost again.",
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
        `Forgotten: ${count(gone.memory)} answers in memory, ${count(gone.second_level)} in the store behind.`,
      ];
    },
    done: toast,
  });
}

/** Asks, then reads the config file again. */
export function reload(source) {
  question({
    title: "Reload the config?",
    text: `${source} is read and checked whole. If it has a mistake, nothing changes; calls under way end with what they began with.`,
    verb: "Reload",
    act: async () => {
      const { changes } = await post("admin/reload", {});
      return [changes.length ? "Reloaded." : "Reloaded; nothing has changed.", ...changes];
    },
    done: toast,
    keep: (lines) => lines.length > 1,
  });
}

async function told(act, words) {
  try {
    await act();
    toast(words);
  } catch (refused) {
    toast(refused.message, "bad");
  }
}
