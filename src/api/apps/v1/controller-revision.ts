import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int64, rawExtension, struct } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ControllerRevision = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'ControllerRevision',
  plural: 'controllerrevisions',
  namespaced: true,
  type: 'io.k8s.api.apps.v1.ControllerRevision',
  fields: {
    data: rawExtension(2, { always: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    revision: int64(3, { required: true, always: true }),
  },
});
export type ControllerRevision = ObjectOf<typeof ControllerRevision>;
