import { type Call, children, type Expression, visit } from './ast.ts';
import { toDuration, toTimestamp } from './conversions.ts';
import type { Issues } from './issues.ts';
import { formatProblem } from './libraries/format-string.ts';
import { regexOf } from './regex.ts';
import { type CelType, sameType } from './types.ts';
import { unwrapOptional } from './unify.ts';
import { CelError, type CelValue } from './values.ts';

/** What Kubernetes checks beyond types: literals that are no times or patterns, mixed literals, format strings. */
export function validate(
  expression: Expression,
  scope: { readonly homogeneousLiterals: boolean },
  issues: Issues,
): void {
  visit(expression, node => {
    if (node.kind === 'call') checkCall(node, issues);
  });
  if (scope.homogeneousLiterals) checkLiterals(expression, issues, false);
}

function checkCall(node: Call, issues: Issues): void {
  const argument = node.args[0];
  if (argument?.kind === 'literal') {
    const read = literalReaders.get(node.name);
    if (read?.(argument.value) instanceof CelError) issues.report(argument.offset, `invalid ${node.name} argument`);
  }
  if (node.name !== 'format' || argument?.kind !== 'list') return;
  if (node.target?.kind !== 'literal' || typeof node.target.value !== 'string') return;
  const problem = formatProblem(
    node.target.value,
    argument.elements.map(({ value }) => value),
  );
  if (problem !== undefined) issues.report(problem.offset ?? node.offset, problem.message);
}

const literalReaders: ReadonlyMap<string, (value: CelValue) => unknown> = new Map<string, (value: CelValue) => unknown>(
  [
    ['duration', toDuration],
    ['timestamp', toTimestamp],
    ['matches', value => (typeof value === 'string' ? regexOf(value) : undefined)],
  ],
);

/** Elements of a literal are of one type exactly, but for what is formatted. */
function checkLiterals(node: Expression, issues: Issues, exempt: boolean): void {
  const within = exempt || (node.kind === 'call' && node.name === 'format');
  if (!within && node.kind === 'list') {
    checkSame(
      node.elements.map(({ value, optional }) => ({ value, optional })),
      issues,
      true,
    );
  }
  if (!within && node.kind === 'map') {
    checkSame(
      node.entries.map(({ key }) => ({ value: key, optional: false })),
      issues,
      false,
    );
    checkSame(
      node.entries.map(({ value, optional }) => ({ value, optional })),
      issues,
      false,
    );
  }
  for (const child of children(node)) checkLiterals(child, issues, within);
}

function checkSame(elements: readonly { value: Expression; optional: boolean }[], issues: Issues, once: boolean): void {
  let wanted: CelType | undefined;
  for (const { value, optional } of elements) {
    const type = optional ? unwrapOptional(value.type as CelType) : (value.type as CelType);
    wanted ??= type;
    if (sameType(wanted, type)) continue;
    issues.report(value.offset, `expected type '${wanted.text}' but found '${type.text}'`);
    if (once) return;
  }
}
