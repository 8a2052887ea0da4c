import { copy, type Expression, type Shape } from './ast.ts';
import type { CelValue } from './values.ts';

export interface Macros {
  readonly byName: ReadonlyMap<string, Expand>;
}

interface Problem {
  readonly offset: number;
  readonly problem: string;
}

/** Where the call stands, its target and arguments; undefined: no macro after all. */
type Expand = (offset: number, target: Expression, args: readonly Expression[]) => Expression | Problem | undefined;

/** The name of what a loop folds into; no expression can name it. */
export const accumulatorName = '@result';
const oldAccumulatorName = '__result__';

export function expandMacro(
  macros: Macros,
  offset: number,
  name: string,
  target: Expression | undefined,
  args: readonly Expression[],
): Expression | Problem | undefined {
  // `.all(x, y)` is a call of a function with an absolute name, not of a macro.
  if (name.startsWith('.')) return undefined;
  const key = `${target === undefined ? '' : '.'}${name}/${args.length}`;
  return macros.byName.get(key)?.(offset, target as Expression, args);
}

/** The macros of the language, of optionals and of two variables; keyed by name, call style and number of arguments. */
export const kubernetesMacros: Macros = {
  byName: new Map<string, Expand>([
    ['has/1', has],
    ['.all/2', (offset, target, args) => quantifier(offset, target, args, all)],
    ['.exists/2', (offset, target, args) => quantifier(offset, target, args, exists)],
    ['.exists_one/2', (offset, target, args) => quantifier(offset, target, args, existsOne)],
    ['.existsOne/2', (offset, target, args) => quantifier(offset, target, args, existsOne)],
    ['.map/2', map],
    ['.map/3', map],
    ['.filter/2', filter],
    ['.all/3', (offset, target, args) => quantifier2(offset, target, args, all)],
    ['.exists/3', (offset, target, args) => quantifier2(offset, target, args, exists)],
    ['.exists_one/3', (offset, target, args) => quantifier2(offset, target, args, existsOne)],
    ['.existsOne/3', (offset, target, args) => quantifier2(offset, target, args, existsOne)],
    ['.transformList/3', transformList],
    ['.transformList/4', transformList],
    ['.transformMap/3', transformMap],
    ['.transformMap/4', transformMap],
    ['.transformMapEntry/3', transformMapEntry],
    ['.transformMapEntry/4', transformMapEntry],
    ['.optMap/2', optMap],
    ['.optFlatMap/2', optFlatMap],
    ['.sortBy/2', sortBy],
  ]),
};

/** The same with `cel.bind(name, value, expression)`, which device selectors have. */
export const bindingMacros: Macros = { byName: new Map([...kubernetesMacros.byName, ['.bind/3', celBind]]) };

/** What a loop is made of, at the place of the macro. */
interface Fold {
  readonly initial: Expression;
  readonly condition: Expression;
  readonly step: Expression;
  readonly result: Expression;
  readonly shape: Shape;
}

function has(offset: number, _target: Expression, [operand]: readonly Expression[]): Expression | Problem {
  if (operand?.kind !== 'select') {
    return { offset: operand?.offset ?? offset, problem: 'invalid argument to has() macro' };
  }
  return { kind: 'select', offset, operand: operand.operand, field: operand.field, test: true };
}

function all(offset: number, predicate: Expression): Fold {
  return {
    initial: literal(offset, true),
    condition: call(offset, '@not_strictly_false', accumulator(offset)),
    step: call(offset, '_&&_', accumulator(offset), predicate),
    result: accumulator(offset),
    shape: { kind: 'all', predicate },
  };
}

function exists(offset: number, predicate: Expression): Fold {
  return {
    initial: literal(offset, false),
    condition: call(offset, '@not_strictly_false', call(offset, '!_', accumulator(offset))),
    step: call(offset, '_||_', accumulator(offset), predicate),
    result: accumulator(offset),
    shape: { kind: 'exists', predicate },
  };
}

function existsOne(offset: number, predicate: Expression): Fold {
  const counted = call(offset, '_+_', accumulator(offset), literal(offset, 1));
  return {
    initial: literal(offset, 0),
    condition: literal(offset, true),
    step: call(offset, '_?_:_', predicate, counted, accumulator(offset)),
    result: call(offset, '_==_', accumulator(offset), literal(offset, 1)),
    shape: { kind: 'one', predicate },
  };
}

function quantifier(
  offset: number,
  target: Expression,
  args: readonly Expression[],
  fold: (offset: number, predicate: Expression) => Fold,
): Expression | Problem {
  const [variable, predicate] = args as [Expression, Expression];
  const name = variableName(variable, 'argument must be a simple name');
  return typeof name === 'string' ? loop(offset, target, [name], fold(offset, predicate)) : name;
}

function quantifier2(
  offset: number,
  target: Expression,
  args: readonly Expression[],
  fold: (offset: number, predicate: Expression) => Fold,
): Expression | Problem {
  const names = variableNames(args);
  return 'problem' in names ? names : loop(offset, target, names, fold(offset, args[2] as Expression));
}

function map(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem {
  const name = variableName(args[0] as Expression, 'argument is not an identifier');
  if (typeof name !== 'string') return name;
  const predicate = args.length === 3 ? args[1] : undefined;
  return loop(offset, target, [name], appended(offset, predicate, args.at(-1) as Expression));
}

function filter(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem {
  const [variable, predicate] = args as [Expression, Expression];
  const name = variableName(variable, 'argument is not an identifier');
  return typeof name === 'string' ? loop(offset, target, [name], appended(offset, predicate, variable)) : name;
}

function transformList(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem {
  const names = variableNames(args);
  if ('problem' in names) return names;
  const predicate = args.length === 4 ? args[2] : undefined;
  return loop(offset, target, names, appended(offset, predicate, args.at(-1) as Expression));
}

function transformMap(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem {
  const names = variableNames(args);
  if ('problem' in names) return names;
  const key: Expression = { kind: 'identifier', offset, name: names[0] };
  const value = args.at(-1) as Expression;
  const inserted = call(offset, 'cel.@mapInsert', accumulator(offset), key, value);
  return loop(offset, target, names, collected(offset, args, inserted, key, value));
}

function transformMapEntry(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem {
  const names = variableNames(args);
  if ('problem' in names) return names;
  const entry = args.at(-1) as Expression;
  const inserted = call(offset, 'cel.@mapInsert', accumulator(offset), entry);
  return loop(offset, target, names, collected(offset, args, inserted, undefined, entry));
}

function collected(
  offset: number,
  args: readonly Expression[],
  step: Expression,
  key: Expression | undefined,
  value: Expression,
): Fold {
  const predicate = args.length === 4 ? args[2] : undefined;
  return {
    initial: { kind: 'map', offset, entries: [] },
    condition: literal(offset, true),
    step: predicate === undefined ? step : call(offset, '_?_:_', predicate, step, accumulator(offset)),
    result: accumulator(offset),
    shape: { kind: 'map', predicate, key, value },
  };
}

function appended(offset: number, predicate: Expression | undefined, element: Expression): Fold {
  const list: Expression = { kind: 'list', offset, elements: [{ value: element, optional: false }] };
  const longer = call(offset, '_+_', accumulator(offset), list);
  return {
    initial: { kind: 'list', offset, elements: [] },
    condition: literal(offset, true),
    step: predicate === undefined ? longer : call(offset, '_?_:_', predicate, longer, accumulator(offset)),
    result: accumulator(offset),
    shape: { kind: 'list', predicate, element },
  };
}

function optMap(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem {
  const bound = boundValue(offset, target, args, 'optMap');
  if ('problem' in bound) return bound;
  return ifValue(offset, target, call(offset, 'optional.of', bound));
}

function optFlatMap(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem {
  const bound = boundValue(offset, target, args, 'optFlatMap');
  return 'problem' in bound ? bound : ifValue(offset, target, bound);
}

function ifValue(offset: number, target: Expression, then: Expression): Expression {
  return call(offset, '_?_:_', member(offset, 'hasValue', target), then, call(offset, 'optional.none'));
}

function boundValue(
  offset: number,
  target: Expression,
  args: readonly Expression[],
  macro: string,
): Expression | Problem {
  const [variable, expression] = args as [Expression, Expression];
  if (variable.kind !== 'identifier') {
    return { offset: variable.offset, problem: `${macro}() variable name must be a simple identifier` };
  }
  return bind(offset, variable.name, member(offset, 'value', copy(target)), expression);
}

/** `variable` stands for the value of `initial` within `result`: a loop over nothing. */
function bind(offset: number, variable: string, initial: Expression, result: Expression): Expression {
  return {
    kind: 'comprehension',
    offset,
    range: { kind: 'list', offset, elements: [] },
    variable: '#unused',
    variable2: undefined,
    accumulator: variable,
    initial,
    condition: literal(offset, false),
    step: { kind: 'identifier', offset, name: variable },
    result,
    shape: { kind: 'bind' },
  };
}

function celBind(
  offset: number,
  target: Expression,
  [variable, initial, result]: readonly Expression[],
): Expression | Problem | undefined {
  if (target.kind !== 'identifier' || target.name !== 'cel') return undefined;
  if (variable?.kind !== 'identifier') {
    return { offset: variable?.offset ?? offset, problem: 'cel.bind() variable names must be simple identifiers' };
  }
  return bind(offset, variable.name, initial as Expression, result as Expression);
}

/** `list.sortBy(e, key)`: the list, sorted by the list of its keys. */
function sortBy(offset: number, target: Expression, args: readonly Expression[]): Expression | Problem | undefined {
  if (!sortable.has(target.kind)) {
    return {
      offset: target.offset,
      problem: `sortBy can only be applied to a list, identifier, comprehension, call or select expression`,
    };
  }
  const keys = map(offset, { kind: 'identifier', offset, name: '@__sortBy_input__' }, args);
  if ('problem' in keys) return keys;
  const input: Expression = { kind: 'identifier', offset, name: '@__sortBy_input__' };
  return bind(offset, '@__sortBy_input__', target, member(offset, '@sortByAssociatedKeys', input, keys));
}

const sortable: ReadonlySet<string> = new Set(['list', 'select', 'identifier', 'comprehension', 'call']);

function variableNames(args: readonly Expression[]): [string, string] | Problem {
  const [first, second] = args as [Expression, Expression];
  for (const each of [first, second]) {
    if (each.kind !== 'identifier') return { offset: each.offset, problem: 'argument must be a simple name' };
  }
  const names = [(first as { name: string }).name, (second as { name: string }).name] as [string, string];
  if (names[0] === names[1]) return { offset: second.offset, problem: `duplicate variable name: ${names[0]}` };
  for (const each of [first, second]) {
    const name = variableName(each, 'argument must be a simple name');
    if (typeof name !== 'string') return name;
  }
  return names;
}

function variableName(node: Expression, problem: string): string | Problem {
  if (node.kind !== 'identifier') return { offset: node.offset, problem };
  if (node.name === accumulatorName || node.name === oldAccumulatorName) {
    return { offset: node.offset, problem: 'iteration variable overwrites accumulator variable' };
  }
  return node.name;
}

function loop(offset: number, range: Expression, names: readonly string[], fold: Fold): Expression {
  const [variable, variable2] = names as [string, string | undefined];
  return { kind: 'comprehension', offset, range, variable, variable2, accumulator: accumulatorName, ...fold };
}

function accumulator(offset: number): Expression {
  return { kind: 'identifier', offset, name: accumulatorName };
}

function literal(offset: number, value: CelValue): Expression {
  return { kind: 'literal', offset, value };
}

function call(offset: number, name: string, ...args: Expression[]): Expression {
  return { kind: 'call', offset, name, target: undefined, args };
}

function member(offset: number, name: string, target: Expression, ...args: Expression[]): Expression {
  return { kind: 'call', offset, name, target, args };
}
