import { checkDnsSubdomain, checkMessages, checkOneOf, sameValue } from '../../machinery/checks.ts';
import { goForm } from '../../machinery/go-form.ts';
import { text, wide } from '../../machinery/columns.ts';
import type { Column, Draft } from '../../machinery/kind.ts';
import { isPathSegmentName } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type { PolicyRule } from './policy-rule.ts';
import { RoleRef } from './role-ref.ts';
import type { Subject } from './subject.ts';

const group = 'rbac.authorization.k8s.io';

export interface Binding {
  readonly roleRef: RoleRef;
  readonly subjects?: readonly Subject[] | undefined;
}

/** Kinds of subjects and roles have one group each, so it need not be written. */
export function defaultBinding({ roleRef, subjects }: Draft<Binding>): void {
  if (!roleRef.apiGroup) roleRef.apiGroup = group;
  for (const subject of subjects ?? [])
    if (!subject.apiGroup && (subject.kind === 'User' || subject.kind === 'Group')) subject.apiGroup = group;
}

/** `report` stands at the rules. */
export function validateRules(
  rules: readonly PolicyRule[] | null | undefined,
  isNamespaced: boolean,
  report: Report,
): void {
  for (const [index, rule] of (rules ?? []).entries()) {
    const at = report.index(index);
    const { apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
    if ((rule.verbs ?? []).length === 0) at.at('verbs').required('verbs must contain at least one value');
    if (nonResourceURLs.length > 0) {
      const urls = at.at('nonResourceURLs');
      if (isNamespaced) urls.invalid(nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs');
      if (apiGroups.length + resources.length + resourceNames.length > 0)
        urls.invalid(nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs');
      continue;
    }
    if (apiGroups.length === 0) at.at('apiGroups').required('resource rules must supply at least one api group');
    if (resources.length === 0) at.at('resources').required('resource rules must supply at least one resource');
  }
}

export function validateBinding({ roleRef, subjects }: Binding, isNamespaced: boolean, report: Report): void {
  const at = report.at('roleRef');
  checkOneOf(roleRef.apiGroup ?? '', [group], at.at('apiGroup'));
  checkOneOf(roleRef.kind ?? '', isNamespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'], at.at('kind'));
  if (!roleRef.name) at.at('name').required();
  else checkMessages(isPathSegmentName(roleRef.name), roleRef.name, at.at('name'));
  for (const [index, subject] of (subjects ?? []).entries())
    validateSubject(subject, isNamespaced, report.at('subjects').index(index));
}

export function validateBindingUpdate({ roleRef }: Binding, old: Binding, report: Report): void {
  if (!sameValue(roleRef, old.roleRef)) report.at('roleRef').invalid(goForm(RoleRef, roleRef), 'cannot change roleRef');
}

export const bindingColumns: readonly Column<Binding>[] = [
  text('Role', 'The role that is given.', ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`),
];

export const subjectColumns: readonly Column<Binding>[] = [
  wide(text('Users', 'Users who get it.', ({ subjects }) => names(subjects, 'User'))),
  wide(text('Groups', 'Groups that get it.', ({ subjects }) => names(subjects, 'Group'))),
  wide(text('ServiceAccounts', 'Service accounts that get it.', ({ subjects }) => names(subjects, 'ServiceAccount'))),
];

function names(subjects: readonly Subject[] | undefined, kind: string): string {
  return (subjects ?? [])
    .filter(subject => subject.kind === kind)
    .map(({ name, namespace }) => (kind === 'ServiceAccount' && namespace ? `${namespace}/${name}` : name))
    .join(', ');
}

function validateSubject(subject: Subject, isNamespaced: boolean, report: Report): void {
  const { kind, name, namespace, apiGroup = '' } = subject;
  if (!name) report.at('name').required();
  switch (kind) {
    case 'ServiceAccount':
      if (name) checkDnsSubdomain(name, report.at('name'));
      if (apiGroup !== '') report.at('apiGroup').notSupported(apiGroup, ['']);
      if (!isNamespaced && !namespace) report.at('namespace').required();
      return;
    case 'User':
    case 'Group':
      checkOneOf(apiGroup, [group], report.at('apiGroup'));
      return;
    default:
      report.at('kind').notSupported(kind ?? '', ['ServiceAccount', 'User', 'Group']);
  }
}
