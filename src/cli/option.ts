/**
 * @file What an option is: its value's type, its heading and its text in `--help`.
 */

/** The type of an option's value. Decides how a flag's text is read and what the YAML file may hold. */
export type OptionType =
  | { readonly kind: "text" }
  /** Repeatable flag, one value each. */
  | { readonly kind: "texts" }
  | { readonly kind: "choice"; readonly of: readonly string[] }
  /** Values separated by commas. */
  | { readonly kind: "choices"; readonly of: readonly string[] }
  /** Any texts separated by commas. */
  | { readonly kind: "list" }
  | { readonly kind: "number"; readonly minimum: number; readonly maximum: number; readonly integer: boolean }
  /** Integers from 0 separated by commas. */
  | { readonly kind: "counts" }
  /** `name=number` pairs separated by commas. */
  | { readonly kind: "numbers"; readonly of: readonly string[] }
  /** Present or absent; `--no-NAME` sets it to false. */
  | { readonly kind: "switch" };

/** Headings of `--help`, in order. */
export const OPTION_GROUPS = ["Corpora", "Pruning", "Repair", "Evaluation", "Output", "General"] as const;

/** One option. */
export interface Option {
  /** Heading in `--help`. */
  readonly group: (typeof OPTION_GROUPS)[number];
  readonly type: OptionType;
  /** Placeholder for the value in `--help`. */
  readonly hint?: string;
  /** A phrase or two without a final full stop. */
  readonly help: string;
}
