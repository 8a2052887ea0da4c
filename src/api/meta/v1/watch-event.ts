import { object, rawExtension, string, type TypeOf } from '../../machinery/schema.ts';

export const WatchEvent = object('io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent', {
  object: rawExtension(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type WatchEvent = TypeOf<typeof WatchEvent>;
