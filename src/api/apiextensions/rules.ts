import { deepEqual } from '#base/deep-equal.ts';
import type { CelEnvironment, Compiled } from '#cel/contract.ts';
import { declOptional, type DeclType } from '#cel/declarations.ts';
import { celEnvironment } from '#cel/environment.ts';
import { runtimeCostBudget } from '#cel/limits.ts';
import { escapeName } from '#cel/names.ts';
import { schemaDecl } from '#cel/schema.ts';
import { boolType, sameType, stringType } from '#cel/types.ts';
import { Report, type FieldErrorType } from '../machinery/validation.ts';
import { correlatedItems } from './correlation.ts';
import { schemaPathOf } from './field-path.ts';
import type { JSONSchemaProps, ValidationRule } from './v1/custom-resource-definition.ts';
import { hasRules, schemaIn } from './v1/schema-parts.ts';

/** A rule that is ready, or what keeps it from that, in upstream's words. */
export interface CompiledRule {
  readonly rule: ValidationRule;
  readonly compiled: Compiled | undefined;
  readonly error: string | undefined;
  /** It compares with what was there before. */
  readonly usesOldSelf: boolean;
  readonly message: Compiled | undefined;
  readonly messageError: string | undefined;
  /** Where its failures are reported, below the place of the rule. */
  readonly fieldPath: string;
}

/** Compiles the rules of one place. Those without text are left out of what upstream compiles, and have no error. */
export function compileRules(schema: JSONSchemaProps, decl: DeclType): readonly CompiledRule[] {
  const rules = schema['x-kubernetes-validations'] ?? [];
  if (rules.length === 0) return [];
  const plain = celBase().extend({ variables: { self: decl, oldSelf: decl } });
  let optional: CelEnvironment | undefined;
  return rules.map(rule => {
    if (rule.optionalOldSelf !== true) return compileRule(schema, rule, plain);
    optional ??= celBase().extend({ variables: { self: decl, oldSelf: declOptional(decl) } });
    return compileRule(schema, rule, optional);
  });
}

let base: CelEnvironment | undefined;

function celBase(): CelEnvironment {
  return (base ??= celEnvironment());
}

function compileRule(schema: JSONSchemaProps, rule: ValidationRule, environment: CelEnvironment): CompiledRule {
  const empty: CompiledRule = {
    rule,
    compiled: undefined,
    error: undefined,
    usesOldSelf: false,
    message: undefined,
    messageError: undefined,
    fieldPath: '',
  };
  if (rule.rule.trim() === '') return empty;
  const compiled = environment.compile(rule.rule);
  if (compiled.issues !== undefined) return { ...empty, error: `compilation failed: ${compiled.issues}` };
  if (!sameType(compiled.outputType, boolType)) return { ...empty, error: 'cel expression must evaluate to a bool' };
  const ready = {
    ...empty,
    compiled,
    usesOldSelf: compiled.references.has('oldSelf'),
    fieldPath: fieldPathOf(schema, rule),
  };
  const { messageExpression = '' } = rule;
  if (messageExpression === '') return ready;
  const message = environment.compile(messageExpression);
  if (message.issues !== undefined)
    return { ...ready, messageError: `messageExpression compilation failed: ${message.issues}` };
  if (!sameType(message.outputType, stringType))
    return { ...ready, messageError: 'messageExpression must evaluate to a string' };
  return { ...ready, message };
}

function fieldPathOf(schema: JSONSchemaProps, { fieldPath = '' }: ValidationRule): string {
  if (fieldPath === '') return '';
  try {
    return schemaPathOf(fieldPath, schema).text;
  } catch {
    // Definitions are refused for that; one of old has none then.
    return '';
  }
}

/** All rules of a schema, by the places where they hold. Undefined where there are none. */
export interface RuleTree {
  readonly schema: JSONSchemaProps;
  readonly rules: readonly CompiledRule[];
  readonly items: RuleTree | undefined;
  readonly values: RuleTree | undefined;
  readonly properties: ReadonlyMap<string, RuleTree>;
}

export function ruleTreeOf(schema: JSONSchemaProps, isRoot: boolean): RuleTree | undefined {
  if (!hasRules(schema)) return undefined;
  const decl = schemaDecl(schema as never, { root: isRoot });
  return decl && treeOf(schema, decl);
}

function treeOf(schema: JSONSchemaProps, decl: DeclType): RuleTree | undefined {
  if (!hasRules(schema)) return undefined;
  const items = schemaIn(schema.items);
  const values = schemaIn(schema.additionalProperties);
  const properties = new Map<string, RuleTree>();
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const below = propertyDecl(name, property, decl);
    const tree = below && treeOf(property, below);
    if (tree) properties.set(name, tree);
  }
  return {
    schema,
    rules: compileRules(schema, decl),
    items: items && decl.element ? treeOf(items, decl.element) : undefined,
    values: values && decl.element ? treeOf(values, decl.element) : undefined,
    properties,
  };
}

/** Of a property whose name no expression can write, the type has to be made anew. */
export function propertyDecl(name: string, property: JSONSchemaProps, decl: DeclType): DeclType | undefined {
  const escaped = escapeName(name);
  if (escaped !== undefined) return decl.fields?.get(escaped)?.type;
  return schemaDecl(property as never, { root: property['x-kubernetes-embedded-resource'] === true });
}

/** How far a value can be compared with what was there before. */
interface Correlation {
  /** Undefined: there is nothing to compare it with. */
  readonly old: unknown;
  readonly value: unknown;
  /** The nearest one around it that can be compared. */
  readonly above: Correlation | undefined;
}

/**
 * Holds values against rules. `old` is what rules call oldSelf; `ratchets`: what has not changed is not refused, only
 * warned about.
 */
export function checkRules(tree: RuleTree, value: unknown, old: unknown, ratchets: boolean, report: Report): void {
  const run = new Run(report);
  const correlation = ratchets ? { old, value, above: undefined } : undefined;
  run.check(tree, value, old ?? undefined, '', correlation);
}

/** One check of one object: what it may cost is counted over all rules. */
class Run {
  readonly #report: Report;
  #budget = runtimeCostBudget;

  constructor(report: Report) {
    this.#report = report;
  }

  /** False: nothing more is to be checked. */
  check(tree: RuleTree, value: unknown, old: unknown, path: string, correlation: Correlation | undefined): boolean {
    if (value === null || value === undefined) return true;
    if (tree.rules.length > 0 && !this.#rules(tree, value, old ?? undefined, path, correlation)) return false;
    if (Array.isArray(value)) return this.#items(tree, value, old, path, correlation);
    return typeof value !== 'object' || this.#members(tree, value as Record<string, unknown>, old, path, correlation);
  }

  #items(
    { schema, items }: RuleTree,
    value: readonly unknown[],
    old: unknown,
    path: string,
    correlation: Correlation | undefined,
  ): boolean {
    if (!items) return true;
    const before = correlatedItems(schema, old);
    const comparable = correlation && isComparable(correlation) ? correlatedItems(schema, correlation.old) : undefined;
    return value.every((item, index) => {
      const below = correlation && stepped(correlation, item, comparable?.(item));
      return this.check(items, item, before(item), `${path}[${index}]`, below);
    });
  }

  #members(
    { values, properties }: RuleTree,
    value: Readonly<Record<string, unknown>>,
    old: unknown,
    path: string,
    correlation: Correlation | undefined,
  ): boolean {
    for (const [name, each] of Object.entries(value)) {
      const tree = values ?? properties.get(name);
      if (!tree || each === undefined) continue;
      const at = values ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`;
      const isTypeMeta = path === '' && (name === 'apiVersion' || name === 'kind');
      const below =
        correlation && !isTypeMeta
          ? stepped(correlation, each, isComparable(correlation) ? memberOf(correlation.old, name) : undefined)
          : undefined;
      if (!this.check(tree, each, memberOf(old, name), at, below)) return false;
    }
    return true;
  }

  #rules(
    { schema, rules }: RuleTree,
    value: unknown,
    old: unknown,
    path: string,
    correlation: Correlation | undefined,
  ) {
    const type = schema.type ?? '';
    const refuse = (message: string) => this.#report.within(path).invalid(type, message);
    if (this.#budget <= 0) {
      refuse(outOfBudget);
      return false;
    }
    for (const { rule, compiled, error, usesOldSelf, message, fieldPath } of rules) {
      if (error !== undefined) refuse(`rule compile error: ${error}`);
      if (!compiled || (usesOldSelf && old === undefined && rule.optionalOldSelf !== true)) continue;
      const bindings = usesOldSelf ? { self: value, oldSelf: old } : { self: value };
      const result = compiled.evaluate(bindings);
      if (result.cost > this.#budget) {
        refuse(outOfBudget);
        return false;
      }
      this.#budget -= result.cost;
      if (result.error) {
        const why = result.error.message;
        const shown = textOf(rule);
        if (result.error.costExceeded) {
          refuse(`'${why}': no further validation rules will be run due to call cost exceeds limit for rule: ${shown}`);
          return false;
        }
        if (why.startsWith('no such overload'))
          refuse(
            `'${why}': call arguments did not match a supported operator, function or macro signature for rule: ${shown}`,
          );
        else refuse(`${why} evaluating rule: ${shown}`);
        continue;
      }
      if (result.value === true) continue;
      const at = path === '' || fieldPath === '' ? `${path}${fieldPath}` : `${path}.${fieldPath}`;
      const forgiven = !usesOldSelf && correlation !== undefined && isUnchanged(correlation);
      const said = message ? this.#message(rule, message, bindings) : undefined;
      if (said?.fatal !== undefined) {
        this.#fail(forgiven, at, 'FieldValueInvalid', `Invalid value: ${JSON.stringify(type)}: ${said.fatal}`);
        return false;
      }
      const detail = said?.text ?? defaultMessage(rule);
      const shown = type === 'object' || type === 'array' ? '' : ` ${JSON.stringify(value)}:`;
      const { reason } = rule;
      if (reason === 'FieldValueForbidden') this.#fail(forgiven, at, reason, `Forbidden: ${detail}`);
      else if (reason === 'FieldValueRequired') this.#fail(forgiven, at, reason, `Required value: ${detail}`);
      else if (reason === 'FieldValueDuplicate')
        this.#fail(forgiven, at, reason, `Duplicate value${shown === '' ? '' : `:${shown.slice(0, -1)}`}`);
      else this.#fail(forgiven, at, 'FieldValueInvalid', `Invalid value:${shown} ${detail}`);
    }
    return true;
  }

  #fail(forgiven: boolean, field: string, type: FieldErrorType, message: string): void {
    const at = field === '' ? '<nil>' : field;
    if (forgiven) this.#report.warn(`${at}: ${message}`);
    else this.#report.errors.push({ type, field: at, message });
  }

  /** What a rule says of its failure; `fatal`: nothing more is to be checked. */
  #message(
    { messageExpression = '' }: ValidationRule,
    message: Compiled,
    bindings: Readonly<Record<string, unknown>>,
  ): { readonly text?: string; readonly fatal?: string } {
    const { value, error, cost } = message.evaluate(bindings);
    if (cost > this.#budget)
      return {
        fatal:
          'messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run',
      };
    if (error?.costExceeded)
      return {
        fatal: `no further validation rules will be run due to call cost exceeds limit for messageExpression: ${JSON.stringify(messageExpression)}`,
      };
    this.#budget -= cost;
    const text = typeof value === 'string' ? value.trim() : '';
    return text === '' || Buffer.byteLength(text) > messageBytesMax || text.includes('\n') ? {} : { text };
  }
}

const outOfBudget = 'validation failed due to running out of cost budget, no further validation rules will be run';
const messageBytesMax = 5 * 1024;

function textOf({ rule, message = '' }: ValidationRule): string {
  return message === '' ? rule.trim() : message.trim();
}

function defaultMessage(rule: ValidationRule): string {
  const { message = '' } = rule;
  return message === '' ? `failed rule: ${textOf(rule)}` : message.trim();
}

function stepped(correlation: Correlation, value: unknown, old: unknown): Correlation {
  const above = isComparable(correlation) ? correlation : correlation.above;
  return { old, value, above };
}

function isComparable({ old }: Correlation): boolean {
  return old !== undefined;
}

/** It, or something around it, is what it was. */
function isUnchanged(correlation: Correlation): boolean {
  const nearest = isComparable(correlation) ? correlation : correlation.above;
  return nearest !== undefined && deepEqual(nearest.value, nearest.old);
}

function memberOf(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null || Array.isArray(object) || !Object.hasOwn(object, name))
    return undefined;
  return (object as Readonly<Record<string, unknown>>)[name];
}
