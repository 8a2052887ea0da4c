import { sameValue } from '../../machinery/checks.ts';
import type { ApiObject } from '../../machinery/kind.ts';
import { goForm } from '../../machinery/go-form.ts';
import { validateLabelRequirement, validateSelectorValues } from '../../machinery/object-meta-validation.ts';
import type { Report } from '../../machinery/validation.ts';
import { NonResourceAttributes } from './non-resource-attributes.ts';
import type { ResourceAttributes } from './resource-attributes.ts';

interface Question {
  readonly nonResourceAttributes?: NonResourceAttributes | undefined;
  readonly resourceAttributes?: ResourceAttributes | undefined;
}

/** One question, about a resource or about a path. `report` stands at the spec. */
export function validateQuestion({ nonResourceAttributes, resourceAttributes }: Question, report: Report): void {
  if (nonResourceAttributes && resourceAttributes)
    report
      .at('nonResourceAttributes')
      .invalid(
        goForm(NonResourceAttributes, nonResourceAttributes),
        'cannot be specified in combination with resourceAttributes',
      );
  if (!nonResourceAttributes && !resourceAttributes)
    report
      .at('resourceAttributes')
      .invalid(null, 'exactly one of nonResourceAttributes or resourceAttributes must be specified');
}

/** Who is asked about. `report` stands at the spec. */
export function validateAsked(
  { user, groups }: { readonly user?: string | undefined; readonly groups?: readonly string[] | undefined },
  report: Report,
): void {
  if (!user && (groups ?? []).length === 0)
    report.at('user').invalid(user ?? '', 'at least one of user or group must be specified');
}

/** What of the resource's objects is asked about. `report` stands at the spec. */
export function validateSelectors({ resourceAttributes }: Question, report: Report): void {
  for (const name of ['fieldSelector', 'labelSelector'] as const) {
    const selector = resourceAttributes?.[name];
    if (!selector) continue;
    const at = report.at('resourceAttributes', name);
    const requirements = selector.requirements ?? [];
    if (selector.rawSelector && requirements.length > 0)
      at.at('rawSelector').invalid(selector.rawSelector, 'may not specified at the same time as requirements');
    if (!selector.rawSelector && requirements.length === 0)
      at.at('requirements').required(`when ${at.path} is specified, requirements or rawSelector is required`);
  }
  const fields = resourceAttributes?.fieldSelector?.requirements ?? [];
  const labels = resourceAttributes?.labelSelector?.requirements ?? [];
  // Of a newer client the operator may be one that nobody knows here.
  for (const [index, { key, operator, values = [] }] of fields.entries()) {
    const at = report.at('resourceAttributes', 'fieldSelector', 'requirements').index(index);
    if (!key) at.at('key').required('must be specified');
    validateSelectorValues(operator, values, at, true);
  }
  for (const [index, requirement] of labels.entries()) {
    const at = report.at('resourceAttributes', 'labelSelector', 'requirements').index(index);
    validateLabelRequirement(requirement, at, { allowUnknownOperator: true });
  }
}

/** Reviews are not kept: what their metadata says would be lost. */
export function validateNoMetadata({ metadata }: ApiObject, isNamespaced: boolean, report: Report): void {
  const { managedFields: _, creationTimestamp: __, uid: ___, namespace, ...rest } = metadata;
  const others = isNamespaced ? rest : { ...rest, namespace };
  if (!sameValue(others, {}))
    report.at('metadata').invalid(metadata, isNamespaced ? 'must be empty except for namespace' : 'must be empty');
}
