import type { CelType } from './types.ts';
import type { CelValue } from './values.ts';

/** A node as the parser makes it; the checker writes `type`, `overloads` and `variable` into it. */
export type Expression =
  | Literal
  | Identifier
  | Select
  | Call
  | ListLiteral
  | MapLiteral
  | ObjectLiteral
  | Comprehension;

interface Node {
  /** Where messages point to. */
  readonly offset: number;
  /** Set by the checker. */
  type?: CelType;
}

export interface Literal extends Node {
  readonly kind: 'literal';
  readonly value: CelValue;
}

export interface Identifier extends Node {
  readonly kind: 'identifier';
  readonly name: string;
  /** Set by the checker: what the name means. */
  reference?: Reference;
}

export interface Select extends Node {
  readonly kind: 'select';
  readonly operand: Expression;
  readonly field: string;
  /** `has(operand.field)`. */
  readonly test: boolean;
  /** Set by the checker where `a.b.c` is one name. */
  reference?: Reference;
}

export type Reference =
  | { readonly kind: 'global'; readonly name: string }
  | { readonly kind: 'local'; readonly name: string }
  | { readonly kind: 'constant'; readonly value: CelValue };

export interface Call extends Node {
  readonly kind: 'call';
  /** The checker makes it the full name of a function with a namespace, and drops the target then. */
  name: string;
  target: Expression | undefined;
  readonly args: readonly Expression[];
  /** Set by the checker: the overloads that can be meant, one unless types are open. */
  overloads?: readonly string[];
}

export interface ListLiteral extends Node {
  readonly kind: 'list';
  readonly elements: readonly Element[];
}

export interface Element {
  readonly value: Expression;
  /** `[?value]`: an optional that is left out when it has no value. */
  readonly optional: boolean;
}

export interface MapLiteral extends Node {
  readonly kind: 'map';
  readonly entries: readonly Entry[];
}

export interface Entry {
  readonly offset: number;
  readonly key: Expression;
  readonly value: Expression;
  readonly optional: boolean;
}

export interface ObjectLiteral extends Node {
  readonly kind: 'object';
  /** Made the full name by the checker. */
  name: string;
  readonly fields: readonly Field[];
}

export interface Field {
  readonly offset: number;
  readonly name: string;
  readonly value: Expression;
  readonly optional: boolean;
}

/** What macros become: a loop over `range` that folds into `accumulator`. */
export interface Comprehension extends Node {
  readonly kind: 'comprehension';
  readonly range: Expression;
  readonly variable: string;
  /** With two variables the first is the index or key, the second the element or value. */
  readonly variable2: string | undefined;
  readonly accumulator: string;
  readonly initial: Expression;
  readonly condition: Expression;
  readonly step: Expression;
  readonly result: Expression;
  /** What the loop is, told by its macro, so that it can run as one. */
  readonly shape: Shape;
}

export type Shape =
  | { readonly kind: 'all' | 'exists' | 'one'; readonly predicate: Expression }
  | { readonly kind: 'list'; readonly predicate: Expression | undefined; readonly element: Expression }
  /** Without `key`, `value` is a map whose entries are added. */
  | {
      readonly kind: 'map';
      readonly predicate: Expression | undefined;
      readonly key: Expression | undefined;
      readonly value: Expression;
    }
  /** No loop: the accumulator is a name for `initial`. */
  | { readonly kind: 'bind' };

/** The same tree with nodes of its own. */
export function copy(node: Expression): Expression {
  switch (node.kind) {
    case 'literal':
    case 'identifier':
      return { ...node };
    case 'select':
      return { ...node, operand: copy(node.operand) };
    case 'call':
      return { ...node, target: node.target === undefined ? undefined : copy(node.target), args: node.args.map(copy) };
    case 'list':
      return { ...node, elements: node.elements.map(each => ({ ...each, value: copy(each.value) })) };
    case 'map':
      return {
        ...node,
        entries: node.entries.map(each => ({ ...each, key: copy(each.key), value: copy(each.value) })),
      };
    case 'object':
      return { ...node, fields: node.fields.map(each => ({ ...each, value: copy(each.value) })) };
    case 'comprehension':
      return copyComprehension(node);
  }
}

function copyComprehension(node: Comprehension): Comprehension {
  const copies = new Map<Expression, Expression>();
  const once = (each: Expression): Expression => {
    let copied = copies.get(each);
    if (copied === undefined) copies.set(each, (copied = copyWithin(each)));
    return copied;
  };
  /** Keeps what the shape names the same node as in the steps. */
  const copyWithin = (each: Expression): Expression => {
    if (each.kind === 'call') return { ...each, target: each.target && once(each.target), args: each.args.map(once) };
    if (each.kind === 'list')
      return { ...each, elements: each.elements.map(one => ({ ...one, value: once(one.value) })) };
    return copy(each);
  };
  const { shape } = node;
  const copiedShape = (): Shape => {
    if (shape.kind === 'bind') return shape;
    const predicate = shape.predicate && once(shape.predicate);
    if (shape.kind === 'list') return { kind: 'list', predicate, element: once(shape.element) };
    if (shape.kind === 'map')
      return { kind: 'map', predicate, key: shape.key && once(shape.key), value: once(shape.value) };
    return { kind: shape.kind, predicate: predicate as Expression };
  };
  return {
    ...node,
    range: copy(node.range),
    initial: copy(node.initial),
    condition: copy(node.condition),
    step: once(node.step),
    result: copy(node.result),
    shape: copiedShape(),
  };
}

/** The children of a node, in the order in which upstream visits them. */
export function children(node: Expression): readonly Expression[] {
  switch (node.kind) {
    case 'literal':
    case 'identifier':
      return [];
    case 'select':
      return [node.operand];
    case 'call':
      return node.target === undefined ? node.args : [node.target, ...node.args];
    case 'list':
      return node.elements.map(({ value }) => value);
    case 'map':
      return node.entries.flatMap(({ key, value }) => [key, value]);
    case 'object':
      return node.fields.map(({ value }) => value);
    case 'comprehension':
      return [node.range, node.initial, node.condition, node.step, node.result];
  }
}

/** Every node once, without recursion deeper than the tree that the parser allows. */
export function visit(node: Expression, visitor: (node: Expression) => void): void {
  visitor(node);
  for (const child of children(node)) visit(child, visitor);
}
