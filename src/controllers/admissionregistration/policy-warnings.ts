import type { DeclType } from '#cel/declarations.ts';
import { schemaDecl } from '#cel/schema.ts';
import { ExpressionCompiler, type ExpressionScope } from '#api/admissionregistration/expressions.ts';
import type {
  ExpressionWarning,
  ValidatingAdmissionPolicy,
} from '#api/admissionregistration/v1/validating-admission-policy.ts';
import type { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { kinds } from '#api/kinds.ts';
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';
import { objectShapeOf } from './object-shape.ts';

const typesMax = 10;

/** A kind that a policy may be about, with the shape of its objects. */
interface Shape {
  /** `apps/v1, Kind=Deployment` */
  readonly name: string;
  readonly decl: DeclType;
}

/** What does not fit, for the status of a policy. */
export function warningsOf(
  { spec }: ValidatingAdmissionPolicy,
  definitions: readonly CustomResourceDefinition[],
): readonly ExpressionWarning[] {
  const { paramKind, matchConstraints, validations = [], variables = [] } = spec;
  const scope: ExpressionScope = { params: paramKind !== undefined, authorizer: true };
  const params = paramKind && paramShape(paramKind.apiVersion ?? '', paramKind.kind ?? '', definitions);
  const compilers = shapesOf(matchConstraints?.resourceRules ?? [], definitions).map(({ name, decl }) => {
    const compiler = new ExpressionCompiler({ object: decl, ...(params && { params }) });
    for (const variable of variables) compiler.declare(variable.name, variable.expression, scope);
    return { name, compiler };
  });
  const warnings: ExpressionWarning[] = [];
  const check = (fieldRef: string, expression: string) => {
    const found = compilers.flatMap(({ name, compiler }) => {
      const issues = compiler.issuesOf(expression, scope);
      return issues === undefined ? [] : [`${name}: ${issues}\n`];
    });
    if (found.length > 0) warnings.push({ fieldRef, warning: found.join('\n') });
  };
  for (const [index, { expression, messageExpression = '' }] of validations.entries()) {
    check(`spec.validations[${index}].expression`, expression);
    if (messageExpression !== '') check(`spec.validations[${index}].messageExpression`, messageExpression);
  }
  return warnings;
}

interface Rule {
  readonly apiGroups?: readonly string[] | undefined;
  readonly apiVersions?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
}

/** The kinds that rules name outright; with a `*` for groups or versions a rule names none. */
function shapesOf(rules: readonly Rule[], definitions: readonly CustomResourceDefinition[]): readonly Shape[] {
  const found = new Map<string, Shape>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of rules) {
    if ([...apiGroups, ...apiVersions].some(each => each.includes('*'))) continue;
    for (const group of apiGroups.toSorted())
      for (const version of apiVersions.toSorted())
        for (const resource of resources.filter(each => !/[*/]/.test(each)).toSorted()) {
          const shape = shapeOf(group, version, resource, definitions);
          if (!shape || found.size >= typesMax) continue;
          found.set(shape.name, shape);
        }
  }
  return [...found.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

function shapeOf(
  group: string,
  version: string,
  plural: string,
  definitions: readonly CustomResourceDefinition[],
): Shape | undefined {
  const builtIn = kinds.find(each => each.group === group && each.version === version && each.plural === plural);
  if (builtIn) return shapeOfKind(builtIn);
  const definition = definitions.find(({ spec }) => spec.group === group && spec.names.plural === plural);
  return definition && shapeOfDefinition(definition, version);
}

function shapeOfKind(kind: Kind): Shape | undefined {
  const decl = objectShapeOf(kind.schema, kind.kind);
  return decl && { name: `${kind.group}/${kind.version}, Kind=${kind.kind}`, decl };
}

function shapeOfDefinition({ spec }: CustomResourceDefinition, version: string): Shape | undefined {
  const schema = spec.versions.find(each => each.name === version && each.served)?.schema?.openAPIV3Schema;
  const decl = schema && schemaDecl(schema as never, { root: true, name: spec.names.kind });
  return decl && { name: `${spec.group}/${version}, Kind=${spec.names.kind}`, decl };
}

function paramShape(
  apiVersion: string,
  kind: string,
  definitions: readonly CustomResourceDefinition[],
): DeclType | undefined {
  const builtIn = kinds.find(each => apiVersionOf(each) === apiVersion && each.kind === kind);
  if (builtIn) return objectShapeOf(builtIn.schema, kind);
  const [group = '', version = ''] = apiVersion.split('/');
  const definition = definitions.find(({ spec }) => spec.group === group && spec.names.kind === kind);
  return definition && shapeOfDefinition(definition, version)?.decl;
}
