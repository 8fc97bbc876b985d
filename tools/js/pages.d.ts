// What the pages Spend and Keys read and pass on.

interface History {
  step_s: number;
  source: "memory" | "store";
  since: number;
  note: string | null;
  marks: Mark[];
  points: HistoryPoint[];
}

interface Me {
  name: string;
  role: "admin" | "viewer" | "team";
  team: string | null;
}

/** The address of a page: what it shows stands there. */
interface Address {
  read(name: string): string;
  go(changes: Record<string, string>, how?: { replace?: boolean }): void;
  link(changes: Record<string, string>, words: string, page?: string): HTMLAnchorElement;
}

interface BudgetView {
  id?: string;
  unit: string;
  amount: string;
  per: string;
  hard?: boolean;
  used?: string | null;
  reserved?: string | null;
  left?: string | null;
  resets_at?: number | null;
  for?: Record<string, string> | string;
}

interface KeyLimits {
  rpm: number | null;
  tpm: number | null;
  concurrent: number | null;
}

interface KeyView {
  id: string;
  name: string;
  prefix: string | null;
  team: string | null;
  owner: string | null;
  note: string | null;
  tags: string[];
  models: string[] | null;
  limits: KeyLimits;
  budgets: BudgetView[];
  state: string;
  source: "config" | "store";
  created_at: number | null;
  created_by: string | null;
  expires_at: number | null;
  last_used_at: number | null;
  earlier_key_until: number | null;
  spent_usd: string | null;
  left_usd: string | null;
}

interface TeamView {
  name: string;
  owner: string | null;
  note: string | null;
  models: string[] | null;
  limits: KeyLimits;
  members: { person: string; role: string }[];
  keys: number | null;
  budgets: BudgetView[];
  source: "config" | "store";
  state: string;
  created_at: number | null;
  left_usd: string | null;
}

/** What the page Keys offers to its parts. */
interface KeysPage {
  read(name: string): string;
  go(changes: Record<string, string>): void;
  link(changes: Record<string, string>, words: string): HTMLAnchorElement;
  button(changes: Record<string, string>, words: string): HTMLElement;
  mayChange(): boolean;
  changed(): void;
  failed(refused: Error): void;
  trouble(refused: { status: number; message: string }): HTMLElement;
}

interface SpendSums {
  calls: number;
  errors: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  cost_usd: string | null; // null: of no call is it known
  exact_usd: string | null;
  estimated_usd: string | null;
  unknown_calls: number;
  coverage: number | null;
  saved_usd: string;
}

interface SpendRow extends SpendSums {
  keys: Record<string, string | null>;
  id: string;
}

interface SpendAnswer {
  from: number;
  to: number;
  by: string[];
  rows: SpendRow[];
  total: SpendSums;
  before: SpendSums | null;
  next: string | null;
}
