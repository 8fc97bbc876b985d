// Sensible ticks: round numbers upwards, round times of day sideways. Pure arithmetic.

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
];

/** Ticks from 0 to a round number not below `highest`: 2 to 4 steps of 1, 2, 2.5 or 5 x 10^n. */
export function valueTicks(highest) {
  if (!(highest > 0)) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(highest / 3));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => highest / each <= 3);
  const steps = Math.max(1, Math.ceil(highest / step - 1e-9));
  return Array.from({ length: steps + 1 }, (_, index) => index * step);
}

/** Unix seconds at round times of the day here, at most `most` of them. */
export function timeTicks(from, to, most) {
  const step = TIME_STEPS.find((each) => (to - from) / each <= most) ?? 24 * HOUR;
  const offset = new Date(from * 1000).getTimezoneOffset() * MINUTE;
  const ticks = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step)
    ticks.push(at);
  return ticks;
}
