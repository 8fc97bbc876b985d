// Ticks of the axes: round numbers and round times of day.

const MINUTE = 60;
const HOUR = 3600;
const TIME_STEPS = [
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  15 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  24 * HOUR,
  48 * HOUR,
  96 * HOUR,
];

/** Returns ticks from 0 to a round number not below `highest`: steps of 1, 2, 2.5 or 5 x 10^n. */
export function valueTicks(highest) {
  if (!(highest > 0)) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(highest / 3));
  const steps = [1, 2, 2.5, 5, 10].map((factor) => factor * power);
  const step = steps.find((candidate) => highest / candidate <= 3) ?? 10 * power;
  const count = Math.max(1, Math.ceil(highest / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, index) => index * step);
}

/** Returns Unix seconds at round local times, at most `most` of them. */
export function timeTicks(from, to, most) {
  const step = TIME_STEPS.find((step) => (to - from) / step <= most) ?? 192 * HOUR;
  const offset = new Date(from * 1000).getTimezoneOffset() * MINUTE;
  const ticks = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step)
    ticks.push(at);
  return ticks;
}
