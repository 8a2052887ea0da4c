import { requestSizeBytesMax, staticCostLimit, staticCostLimitTotal } from '#cel/limits.ts';
import type { DeclType } from '#cel/declarations.ts';
import { schemaDecl } from '#cel/schema.ts';
import { Report, type FieldError } from '../../machinery/validation.ts';
import { compileRules, propertyDecl } from '../rules.ts';
import type { JSONSchemaProps, ValidationRule } from './custom-resource-definition.ts';

/** What the rules of a whole schema would cost, and what is wrong with them: said behind all that is wrong with the schema. */
export class RuleFindings {
  readonly errors: FieldError[] = [];
  /** A schema that was accepted before may cost what it costs. */
  readonly forgivesCost: boolean;
  #total = 0;
  #expensive: { readonly path: string; readonly cost: number }[] = [];

  constructor(forgivesCost: boolean) {
    this.forgivesCost = forgivesCost;
  }

  at(path: string): Report {
    return new Report('', this.errors).within(path);
  }

  observe(path: string, cost: number): void {
    this.#total = Math.min(this.#total + cost, costMax);
    if (cost < staticCostLimitTotal / 100) return;
    this.#expensive = [...this.#expensive, { path, cost }].sort((one, other) => other.cost - one.cost).slice(0, 4);
  }

  /** What all rules together cost, when that is too much. */
  conclude(report: Report): void {
    if (this.#total <= staticCostLimitTotal) return;
    for (const { path } of this.#expensive)
      report
        .within(path)
        .forbidden('contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema');
    const name = 'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema';
    report.forbidden(costMessage(name, this.#total, staticCostLimitTotal));
  }
}

/** Costs are unsigned integers of 64 bits. */
const costMax = 2 ** 64;

/** A place in a schema as rules see it. */
export class RuleContext {
  readonly schema: JSONSchemaProps;
  readonly findings: RuleFindings;
  /** How often the place can be there in one object; undefined without bound. */
  readonly cardinality: number | undefined;
  readonly #parent: RuleContext | undefined;
  readonly #inherit: (decl: DeclType) => DeclType | undefined;
  readonly #inScope: boolean;
  #decl: { readonly decl: DeclType | undefined } | undefined;

  constructor(
    schema: JSONSchemaProps,
    findings: RuleFindings,
    parent?: RuleContext,
    inherit: (decl: DeclType) => DeclType | undefined = () => undefined,
  ) {
    this.schema = schema;
    this.findings = findings;
    this.#parent = parent;
    this.#inherit = inherit;
    this.#inScope = (schema['x-kubernetes-validations'] ?? []).length > 0 || (parent !== undefined && parent.#inScope);
    this.cardinality = parent ? product(parent.cardinality, elementsMax(parent.schema)) : 1;
  }

  property(name: string, schema: JSONSchemaProps): RuleContext {
    return new RuleContext(schema, this.findings, this, decl => propertyDecl(name, schema, decl));
  }

  element(schema: JSONSchemaProps): RuleContext {
    return new RuleContext(schema, this.findings, this, decl => decl.element);
  }

  /** From the place above, where that has been worked out; else from the schema. */
  get decl(): DeclType | undefined {
    return (this.#decl ??= { decl: this.#made() }).decl;
  }

  #made(): DeclType | undefined {
    const parent = this.#parent;
    const inherited = parent !== undefined && parent.#inScope && parent.decl ? this.#inherit(parent.decl) : undefined;
    const isRoot = parent === undefined || this.schema['x-kubernetes-embedded-resource'] === true;
    return inherited ?? schemaDecl(this.schema as never, { root: isRoot });
  }
}

function product(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : Math.min(one * other, costMax);
}

/** By how much a place multiplies what is below it. */
function elementsMax({ type, additionalProperties, maxProperties, maxItems }: JSONSchemaProps): number | undefined {
  const bound = (max: number | undefined) => (max === undefined ? undefined : Math.max(0, Number(max)));
  if (type === 'array') return bound(maxItems);
  if (type === 'object' && additionalProperties !== undefined && additionalProperties !== null)
    return bound(maxProperties);
  return 1;
}

/** Compiles the rules of a place, reckons what they can cost, and says what is wrong. */
export function validateRuleExpressions(context: RuleContext, path: string, uncorrelatable: string | undefined): void {
  const { schema, findings } = context;
  const rules = schema['x-kubernetes-validations'] ?? [];
  const at = findings.at(path).at('x-kubernetes-validations');
  const { decl } = context;
  if (!decl) {
    const why = 'unable to convert structural schema to CEL declarations';
    at.internal(`internal error: failed to construct type information for x-kubernetes-validations rules: ${why}`);
    return;
  }
  const times = context.cardinality ?? Math.floor(requestSizeBytesMax / (decl.serializedSizeMin + 1));
  for (const [index, { rule, compiled, error, message, messageError, usesOldSelf }] of compileRules(
    schema,
    decl,
  ).entries()) {
    const here = at.index(index);
    const atRule = here.at('rule');
    const cost = compiled ? multiplied(compiled.estimateCost().maximum, times) : 0;
    if (!findings.forgivesCost && cost > staticCostLimit)
      atRule.forbidden(costMessage('estimated rule cost', cost, staticCostLimit));
    findings.observe(atRule.path, cost);
    if (error !== undefined) atRule.invalid(inGo(rules[index] as ValidationRule), error);
    const atMessage = here.at('messageExpression');
    if (messageError !== undefined) atMessage.invalid(inGo(rules[index] as ValidationRule), messageError);
    else if (message) {
      const messageCost = message.estimateCost().maximum;
      if (!findings.forgivesCost && messageCost > staticCostLimit)
        atMessage.forbidden(costMessage('estimated messageExpression cost', messageCost, staticCostLimit));
      findings.observe(atMessage.path, messageCost);
    }
    if (usesOldSelf) {
      const portion = 'oldSelf cannot be used on the uncorrelatable portion of the schema within';
      if (uncorrelatable !== undefined) atRule.invalid(rule.rule, `${portion} ${uncorrelatable}`);
    } else if (rule.optionalOldSelf !== undefined) {
      here.at('optionalOldSelf').invalid(rule.optionalOldSelf, 'may not be set if oldSelf is not used in rule');
    }
  }
}

function multiplied(cost: number, times: number): number {
  return cost === 0 ? 0 : Math.min(cost * times, costMax);
}

function costMessage(name: string, cost: number, limit: number): string {
  const factor = cost / limit;
  const shown = factor > 100 ? 'more than 100x' : factor < 1.5 ? `${factor.toFixed(6)}x` : `${factor.toFixed(1)}x`;
  const remedy =
    'try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared';
  return `${name} exceeds budget by factor of ${shown} (${remedy})`;
}

/** A rule as upstream prints it: its type has no names for JSON. */
function inGo({ rule, message = '', messageExpression = '', reason, fieldPath = '', optionalOldSelf }: ValidationRule) {
  return {
    Rule: rule,
    Message: message,
    MessageExpression: messageExpression,
    Reason: reason ?? null,
    FieldPath: fieldPath,
    OptionalOldSelf: optionalOldSelf ?? null,
  };
}
