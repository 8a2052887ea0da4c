import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import { Report } from '#api/machinery/validation.ts';
import { LocalSubjectAccessReview } from '#api/authorization/v1/local-subject-access-review.ts';
import type { NonResourceAttributes } from '#api/authorization/v1/non-resource-attributes.ts';
import type { ResourceAttributes } from '#api/authorization/v1/resource-attributes.ts';
import { SelfSubjectAccessReview } from '#api/authorization/v1/self-subject-access-review.ts';
import { SubjectAccessReview } from '#api/authorization/v1/subject-access-review.ts';
import type { Attributes, Decision } from '#auth/authorization/authorizer.ts';
import type { User } from '#auth/user.ts';
import type { SubresourceHandler } from '../subresource.ts';

interface Question {
  readonly resourceAttributes?: ResourceAttributes | undefined;
  readonly nonResourceAttributes?: NonResourceAttributes | undefined;
}

/** May somebody do something? */
export const subjectAccessReview: SubresourceHandler = async (_request, context) => {
  const review = await context.body(SubjectAccessReview);
  const report = new Report();
  checkMetadata(review.metadata, report, ['managedFields']);
  checkQuestion(review.spec, report.at('spec'));
  checkSubject(review.spec, report.at('spec'));
  refuse(SubjectAccessReview, report);
  const said = await context.authorize(attributesOf(userOf(review.spec), review.spec));
  return context.respond(201, answered(SubjectAccessReview, review, statusOf(said)));
};

/** May somebody do something in the namespace of the request? */
export const localSubjectAccessReview: SubresourceHandler = async (_request, context) => {
  const review = await context.body(LocalSubjectAccessReview);
  const { namespace } = context.info;
  const report = new Report();
  checkMetadata(review.metadata, report, ['managedFields', 'namespace']);
  const { resourceAttributes, nonResourceAttributes } = review.spec;
  const spec = report.at('spec');
  checkQuestion(review.spec, spec);
  checkSubject(review.spec, spec);
  if (resourceAttributes && resourceAttributes.namespace !== (review.metadata.namespace ?? namespace))
    spec
      .at('resourceAttributes', 'namespace')
      .invalid(resourceAttributes.namespace ?? '', 'must match metadata.namespace');
  if (nonResourceAttributes)
    spec.at('nonResourceAttributes').invalid(nonResourceAttributes, 'disallowed on this kind of request');
  refuse(LocalSubjectAccessReview, report);
  if (resourceAttributes?.namespace !== namespace)
    throw errors.badRequest(
      `spec.resourceAttributes.namespace must match namespace: ${resourceAttributes?.namespace} != ${namespace}`,
    );
  const said = await context.authorize(attributesOf(userOf(review.spec), review.spec));
  return context.respond(201, answered(LocalSubjectAccessReview, review, statusOf(said)));
};

/** May I do something? */
export const selfSubjectAccessReview: SubresourceHandler = async (_request, context) => {
  const review = await context.body(SelfSubjectAccessReview);
  const report = new Report();
  checkMetadata(review.metadata, report, ['managedFields']);
  checkQuestion(review.spec, report.at('spec'));
  refuse(SelfSubjectAccessReview, report);
  const said = await context.authorize(attributesOf(context.user, review.spec));
  return context.respond(201, answered(SelfSubjectAccessReview, review, statusOf(said)));
};

/** A review with its answer, as it goes back. */
export function answered(kind: Kind, review: Draft<ApiObject>, status: object): object {
  return { ...review, apiVersion: apiVersionOf(kind), kind: kind.kind, status };
}

function statusOf({ decision, reason, error }: Decision): object {
  return {
    allowed: decision === 'allow',
    ...(decision === 'deny' && { denied: true }),
    ...(reason !== '' && { reason }),
    ...(error !== undefined && { evaluationError: error }),
  };
}

function checkMetadata(metadata: Draft<ApiObject['metadata']>, report: Report, allowed: readonly string[]): void {
  const set = Object.entries(metadata).filter(([key, value]) => value !== undefined && !allowed.includes(key));
  if (set.length > 0)
    report
      .at('metadata')
      .invalid(metadata, allowed.includes('namespace') ? 'must be empty except for namespace' : 'must be empty');
}

function checkQuestion({ resourceAttributes, nonResourceAttributes }: Question, report: Report): void {
  if (resourceAttributes && nonResourceAttributes)
    report
      .at('nonResourceAttributes')
      .invalid(nonResourceAttributes, 'cannot be specified in combination with resourceAttributes');
  if (!resourceAttributes && !nonResourceAttributes)
    report
      .at('resourceAttributes')
      .invalid(undefined, 'exactly one of nonResourceAttributes or resourceAttributes must be specified');
  for (const field of ['fieldSelector', 'labelSelector'] as const) {
    const selector = resourceAttributes?.[field];
    if (!selector) continue;
    const at = report.at('resourceAttributes', field);
    const requirements = selector.requirements?.length ?? 0;
    if (selector.rawSelector && requirements > 0)
      at.at('rawSelector').invalid(selector.rawSelector, 'may not specified at the same time as requirements');
    else if (!selector.rawSelector && requirements === 0)
      at.at('requirements').required(`when ${at.path} is specified, requirements or rawSelector is required`);
  }
}

function checkSubject(
  spec: { readonly user?: string | undefined; readonly groups?: readonly string[] | undefined },
  report: Report,
): void {
  if ((spec.user ?? '') === '' && (spec.groups?.length ?? 0) === 0)
    report.at('user').invalid(spec.user ?? '', 'at least one of user or group must be specified');
}

function refuse(kind: Kind, report: Report): void {
  if (report.errors.length > 0) throw errors.invalid(kind.group, kind.kind, '', report.errors);
}

function userOf(spec: {
  readonly user?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly uid?: string | undefined;
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}): User {
  return {
    name: spec.user ?? '',
    groups: spec.groups ?? [],
    ...(spec.uid && { uid: spec.uid }),
    ...(spec.extra && { extra: spec.extra }),
  };
}

function attributesOf(user: User, { resourceAttributes: asked, nonResourceAttributes }: Question): Attributes {
  const nothing = { group: '', version: '', resource: '', subresource: '', namespace: '', name: '' };
  if (!asked)
    return {
      user,
      ...nothing,
      verb: nonResourceAttributes?.verb ?? '',
      path: nonResourceAttributes?.path ?? '',
      resourceRequest: false,
    };
  const fieldSelector = selectorText(asked.fieldSelector);
  const labelSelector = selectorText(asked.labelSelector);
  return {
    user,
    verb: asked.verb ?? '',
    resourceRequest: true,
    path: '',
    group: asked.group ?? '',
    version: asked.version ?? '',
    resource: asked.resource ?? '',
    subresource: asked.subresource ?? '',
    namespace: asked.namespace ?? '',
    name: asked.name ?? '',
    ...(fieldSelector !== undefined && { fieldSelector }),
    ...(labelSelector !== undefined && { labelSelector }),
  };
}

function selectorText(
  selector:
    | {
        readonly rawSelector?: string | undefined;
        readonly requirements?:
          | readonly {
              readonly key: string;
              readonly operator: string;
              readonly values?: readonly string[] | undefined;
            }[]
          | undefined;
      }
    | undefined,
): string | undefined {
  if (!selector) return undefined;
  if (selector.rawSelector) return selector.rawSelector;
  const parts = (selector.requirements ?? []).flatMap(({ key, operator, values = [] }) => {
    switch (operator) {
      case 'In':
        return [values.length === 1 ? `${key}=${values[0]}` : `${key} in (${values.join(',')})`];
      case 'NotIn':
        return [values.length === 1 ? `${key}!=${values[0]}` : `${key} notin (${values.join(',')})`];
      case 'Exists':
        return [key];
      case 'DoesNotExist':
        return [`!${key}`];
      default:
        // An operator that nobody knows selects nothing less: it is left out.
        return [];
    }
  });
  return parts.join(',');
}
