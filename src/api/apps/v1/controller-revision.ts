import { type ApiObject, defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int64, rawExtension, struct } from '../../machinery/schema.ts';
import { checkImmutable, checkNonNegative } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ControllerRevision = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'ControllerRevision',
  plural: 'controllerrevisions',
  namespaced: true,
  doc: 'A kept state of a DaemonSet or StatefulSet, for going back to it.',
  type: 'io.k8s.api.apps.v1.ControllerRevision',
  fields: {
    data: rawExtension(2, { doc: 'The state that is kept.' }),
    metadata: struct(1, ObjectMeta, { required: true }),
    revision: int64(3, { required: true, always: true }),
  },
  columns: [
    nameColumn,
    text('Controller', 'Whose state it is.', ({ metadata }: ApiObject) => {
      const owner = metadata.ownerReferences?.find(reference => reference.controller);
      if (!owner) return '<none>';
      const slash = owner.apiVersion.indexOf('/');
      const group = slash < 0 ? '' : `.${owner.apiVersion.slice(0, slash)}`;
      return `${owner.kind}${group}`.toLowerCase() + `/${owner.name}`;
    }),
    text('Revision', 'Its number.', (item: { readonly revision: number }) => item.revision),
    ageColumn,
  ],
  validateCreate({ data }, report) {
    if (data === undefined || data === null) report.at('data').required('data is mandatory');
    else if (typeof data !== 'object' || Array.isArray(data))
      report.at('data').required('data must be a valid JSON object');
  },
  validate({ revision }, report) {
    checkNonNegative(revision, report.at('revision'));
  },
  validateUpdate({ data }, old, report) {
    checkImmutable(data, old.data, report.at('data'));
  },
});
export type ControllerRevision = ObjectOf<typeof ControllerRevision>;
