import type { DeclType } from './declarations.ts';
import type { CelType } from './types.ts';
import type { CelError, CelValue } from './values.ts';

export interface CelEnvironmentOptions {
  /** What an expression may name, each with the shape of what will be bound to it. */
  readonly variables?: Readonly<Record<string, DeclType>>;
  /** Object types that an expression may construct (`Object{…}`, `JSONPatch{…}`), beside those of the variables. */
  readonly types?: readonly DeclType[];
  /** The name under which unqualified names are looked up first; empty in Kubernetes. */
  readonly container?: string;
  /**
   * Kubernetes' rule: the elements of a list or map literal have one type. On unless said otherwise; the official
   * conformance cases turn it off.
   */
  readonly homogeneousLiterals?: boolean;
  /** Whether there is `cel.bind`, as for device selectors. */
  readonly bindings?: boolean;
}

export interface CelEnvironment {
  /** The same environment with more variables and types. */
  extend(options: CelEnvironmentOptions): CelEnvironment;
  /** Parses and checks. What is wrong comes back as `issues`; nothing is thrown. */
  compile(text: string): Compiled | Uncompiled;
}

export interface Uncompiled {
  /** All that is wrong, in upstream's form: `ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x\n | ^`. */
  readonly issues: string;
}

export interface Compiled {
  readonly issues: undefined;
  readonly text: string;
  readonly outputType: CelType;
  /** The variables that the expression names, as in `oldSelf`. */
  readonly references: ReadonlySet<string>;
  /** Why the expression cannot run although it is well typed: `int('x')`, a pattern that is none. Upstream: `program instantiation failed: …`. */
  readonly instantiationError: string | undefined;
  /** What an evaluation can cost, over all inputs that fit the declarations of the variables. */
  estimateCost(): CostRange;
  /**
   * Runs the expression. Bindings are JSON values in the declared shape (read where they are, never copied) or values of
   * the language. A variable without binding is an error of the evaluation.
   */
  evaluate(bindings: Bindings, options?: EvaluateOptions): Evaluation;
  /** The same for bindings with an authorizer whose decisions may be promises. */
  evaluateAsync(bindings: Bindings, options?: EvaluateOptions): Promise<Evaluation>;
}

export type Bindings = Readonly<Record<string, unknown>>;

export interface EvaluateOptions {
  /** In cost units; `perCallLimit` (1,000,000) unless said otherwise. */
  readonly costLimit?: number;
}

/** What came out, and what it really cost. */
export type Evaluation =
  | { readonly error: undefined; readonly value: CelValue; readonly cost: number }
  | { readonly error: CelError; readonly value: undefined; readonly cost: number };

/** Both ends in cost units; what does not fit an uint64 is 2^64. */
export interface CostRange {
  readonly minimum: number;
  readonly maximum: number;
}
