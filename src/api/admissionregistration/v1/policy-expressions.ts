import type { Report } from '../../machinery/validation.ts';
import type { CelType } from '#cel/types.ts';
import {
  aCondition,
  aConfiguration,
  aMessage,
  anAnnotation,
  compileAlone,
  ExpressionCompiler,
  type ExpressionScope,
  patchOperations,
} from '../expressions.ts';

interface Named {
  readonly name: string;
  readonly expression: string;
}

/** Expressions of one policy, compiled as they will be when it is asked, with what is wrong reported at their places. */
export class PolicyExpressions {
  readonly #compiler = new ExpressionCompiler();
  readonly #scope: ExpressionScope;
  readonly #compile: typeof compileAlone;

  /** `hasVariables`: without, there is no `variables` for them to name. */
  constructor({ hasParams, hasVariables }: { readonly hasParams: boolean; readonly hasVariables: boolean }) {
    this.#scope = { params: hasParams, authorizer: true };
    this.#compile = hasVariables ? this.#compiler.compile.bind(this.#compiler) : compileAlone;
  }

  variable({ name, expression }: Named, report: Report): void {
    const { error } = this.#compiler.declare(name, expression, this.#scope);
    if (error !== undefined) report.invalid(expression, error);
  }

  condition(expression: string, report: Report): void {
    this.#check(expression, aCondition, this.#scope, report);
  }

  message(expression: string, report: Report): void {
    this.#check(expression, aMessage, { ...this.#scope, authorizer: false }, report);
  }

  annotation(expression: string, report: Report): void {
    const { error } = this.#compile(expression.trim(), anAnnotation, this.#scope);
    if (error !== undefined) report.invalid(expression, error);
  }

  configuration(expression: string, report: Report): void {
    this.#check(expression, aConfiguration, { ...this.#scope, patches: true }, report);
  }

  patch(expression: string, report: Report): void {
    this.#check(expression, patchOperations, { ...this.#scope, patches: true }, report);
  }

  #check(expression: string, types: readonly CelType[], scope: ExpressionScope, report: Report): void {
    const { error } = this.#compile(expression, types, scope);
    if (error !== undefined) report.invalid(expression, error);
  }
}

/** Conditions know nothing of a policy's variables. */
export function checkCondition(text: string, hasParams: boolean, report: Report): void {
  const { error } = compileAlone(text, aCondition, { params: hasParams, authorizer: true });
  if (error !== undefined) report.invalid(text, error);
}
