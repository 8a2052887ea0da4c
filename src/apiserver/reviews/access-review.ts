import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import {
  formatFieldSelector,
  formatRequirements,
  parseFieldSelector,
  parseLabelSelector,
  requirementsOf,
} from '#api/machinery/selector.ts';
import { Report } from '#api/machinery/validation.ts';
import { LocalSubjectAccessReview } from '#api/authorization/v1/local-subject-access-review.ts';
import type { NonResourceAttributes } from '#api/authorization/v1/non-resource-attributes.ts';
import type {
  FieldSelectorAttributes,
  LabelSelectorAttributes,
  ResourceAttributes,
} from '#api/authorization/v1/resource-attributes.ts';
import { SelfSubjectAccessReview } from '#api/authorization/v1/self-subject-access-review.ts';
import { SubjectAccessReview } from '#api/authorization/v1/subject-access-review.ts';
import type { Attributes } from '#auth/authorization/authorizer.ts';
import type { User } from '#auth/user.ts';
import type { SubresourceContext, SubresourceHandler } from '../subresource.ts';

interface Question {
  readonly resourceAttributes?: ResourceAttributes | undefined;
  readonly nonResourceAttributes?: NonResourceAttributes | undefined;
}

/** May somebody do something? */
export const subjectAccessReview: SubresourceHandler = async (_request, context) => {
  const review = await context.body(SubjectAccessReview);
  refuseInvalid(SubjectAccessReview, review);
  const status = await judge(context, userOf(review.spec), review.spec);
  return context.respond(201, answered(SubjectAccessReview, review, status));
};

/** May somebody do something in the namespace of the request? */
export const localSubjectAccessReview: SubresourceHandler = async (_request, context) => {
  const review = await context.body(LocalSubjectAccessReview);
  const { namespace } = context.info;
  review.metadata.namespace ??= namespace;
  refuseInvalid(LocalSubjectAccessReview, review);
  const asked = review.spec.resourceAttributes?.namespace;
  if (asked !== namespace)
    throw errors.badRequest(`spec.resourceAttributes.namespace must match namespace: ${asked} != ${namespace}`);
  const status = await judge(context, userOf(review.spec), review.spec);
  return context.respond(201, answered(LocalSubjectAccessReview, review, status));
};

/** May I do something? */
export const selfSubjectAccessReview: SubresourceHandler = async (_request, context) => {
  const review = await context.body(SelfSubjectAccessReview);
  refuseInvalid(SelfSubjectAccessReview, review);
  const status = await judge(context, context.user, review.spec);
  return context.respond(201, answered(SelfSubjectAccessReview, review, status));
};

/** A review with its answer, as it goes back. */
export function answered(kind: Kind, review: object, status: object): object {
  return { ...review, apiVersion: apiVersionOf(kind), kind: kind.kind, status };
}

/** Upstream names neither the kind nor the object. */
function refuseInvalid<Type extends ApiObject>(kind: Kind<Type>, review: Draft<Type>): void {
  const report = new Report();
  kind.validate?.(review as Type, report);
  if (report.errors.length > 0) throw errors.invalid(kind.group, '', '', report.errors);
}

async function judge(context: SubresourceContext, user: User, question: Question): Promise<object> {
  const fields = fieldsAsked(question.resourceAttributes?.fieldSelector);
  const labels = labelsAsked(question.resourceAttributes?.labelSelector);
  const { decision, reason, error } = await context.authorize({
    ...attributesOf(user, question),
    ...(fields?.text && { fieldSelector: fields.text }),
    ...(labels?.text && { labelSelector: labels.text }),
  });
  const complaints = [
    ...(error === undefined ? [] : [error]),
    ...complaintsOf(fields, 'fieldSelector'),
    ...complaintsOf(labels, 'labelSelector'),
  ];
  return {
    allowed: decision === 'allow',
    ...(decision === 'deny' && { denied: true }),
    ...(reason !== '' && { reason }),
    ...(complaints.length > 0 && { evaluationError: complaints.join('; ') }),
  };
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
  return {
    user,
    verb: asked.verb ?? '',
    resourceRequest: true,
    path: '',
    group: asked.group ?? '',
    version: asked.version || '*',
    resource: asked.resource ?? '',
    subresource: asked.subresource ?? '',
    namespace: asked.namespace ?? '',
    name: asked.name ?? '',
  };
}

/** What could be read of a selector. The conditions narrow each other: what is left out makes the question a broader one. */
interface Conditions {
  readonly text: string;
  readonly isWhole: boolean;
}

function fieldsAsked(selector: FieldSelectorAttributes | undefined): Conditions | undefined {
  return conditionsOf(selector, parseFieldSelector, ({ key, operator, values = [] }) => {
    const [value, ...others] = values;
    if (value === undefined || others.length > 0) return undefined;
    if (operator === 'In') return formatFieldSelector([{ field: key, operator: '=', value }]);
    return operator === 'NotIn' ? formatFieldSelector([{ field: key, operator: '!=', value }]) : undefined;
  });
}

function labelsAsked(selector: LabelSelectorAttributes | undefined): Conditions | undefined {
  return conditionsOf(selector, parseLabelSelector, requirement =>
    ['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(requirement.operator)
      ? formatRequirements(requirementsOf({ matchExpressions: [requirement] }))
      : undefined,
  );
}

function conditionsOf<Requirement>(
  selector:
    | { readonly rawSelector?: string | undefined; readonly requirements?: readonly Requirement[] | undefined }
    | undefined,
  parse: (text: string) => unknown,
  textOf: (requirement: Requirement) => string | undefined,
): Conditions | undefined {
  if (!selector) return undefined;
  const { rawSelector, requirements = [] } = selector;
  if (rawSelector) {
    try {
      parse(rawSelector);
      return { text: rawSelector, isWhole: true };
    } catch {
      return { text: '', isWhole: false };
    }
  }
  const texts = requirements.map(textOf).filter(each => each !== undefined);
  return { text: texts.join(','), isWhole: texts.length === requirements.length };
}

function complaintsOf(conditions: Conditions | undefined, field: string): readonly string[] {
  if (!conditions || conditions.isWhole) return [];
  const how = conditions.text === '' ? 'ignored' : 'partially ignored';
  return [`spec.resourceAttributes.${field} ${how} due to parse error`];
}
