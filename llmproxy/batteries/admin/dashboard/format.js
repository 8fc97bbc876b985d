// Numbers as short texts with their unit.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const NONE = "–";
const GAP = "\u00a0"; // keeps a number and its unit on one line

/** 0 to 9,999 as it is, then 12.3K, 4.56M. */
export function count(number) {
  if (number === null) return NONE;
  return number < 10_000 ? WHOLE.format(number) : SHORT.format(number);
}

/** A rate with at most three significant digits. */
export function rate(number) {
  if (number === null) return NONE;
  if (number === 0) return "0";
  if (number < 0.01) return "<0.01";
  if (number < 10) return String(Number(number.toFixed(number < 1 ? 2 : 1)));
  return count(number);
}

/** A share of 0 to 1. */
export function percent(share) {
  if (share === null) return NONE;
  const hundred = share * 100;
  if (hundred > 0 && hundred < 0.1) return "<0.1%";
  return `${Number(hundred.toFixed(hundred < 10 ? 1 : 0))}%`;
}

/** Milliseconds, as ms, s or min. */
export function millis(ms) {
  if (ms === null) return NONE;
  if (ms < 10) return `${Number(ms.toFixed(1))}${GAP}ms`;
  if (ms < 1000) return `${Math.round(ms)}${GAP}ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)}${GAP}s`;
  return ms < 120_000 ? `${(ms / 1000).toFixed(1)}${GAP}s` : duration(ms / 1000);
}

/** US dollars; small amounts keep two significant digits. */
export function usd(amount) {
  if (amount === null) return NONE;
  if (amount === 0) return "$0";
  if (amount < 0.0001) return "<$0.0001";
  if (amount < 0.1) return `$${Number(amount.toPrecision(2))}`;
  return amount < 1000 ? `$${amount.toFixed(2)}` : `$${count(amount)}`;
}

/** Seconds as a duration: 12 s, 3 min, 2 h 5 min, 3 d. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))}${GAP}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}${GAP}min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)}${GAP}d`;
  return minutes % 60 ? `${hours}${GAP}h${GAP}${minutes % 60}${GAP}min` : `${hours}${GAP}h`;
}

/** The remaining time, rounded up: never 0 before it is over. */
export const countdown = (seconds) => duration(Math.ceil(seconds));

export function bytes(number) {
  if (number < 1000) return `${number}${GAP}B`;
  const [unit, size] = number < 1e6 ? ["kB", 1e3] : number < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${Number((number / size).toPrecision(3))}${GAP}${unit}`;
}

/** A time of day of Unix seconds: 14:03:05, or 14:03. */
export function clock(at, { seconds = true } = {}) {
  const time = new Date(at * 1000);
  const parts = [time.getHours(), time.getMinutes(), ...(seconds ? [time.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** The time of day if it is today, else the date. */
export function day(at, now) {
  const [then, today] = [new Date(at * 1000), new Date(now * 1000)];
  if (then.toDateString() === today.toDateString()) return clock(at, { seconds: false });
  return `${then.getDate()}${GAP}${then.toLocaleString("en", { month: "short" })}`;
}

/** The time of day, and the date unless it is today. */
export function moment(at, now) {
  const [date, time] = [day(at, now), clock(at, { seconds: false })];
  return date === time ? time : `${date} ${time}`;
}

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
