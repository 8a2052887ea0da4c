import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const NonResourceAttributes = object('io.k8s.api.authorization.v1.NonResourceAttributes', {
  path: string(1),
  verb: string(2),
});
export type NonResourceAttributes = TypeOf<typeof NonResourceAttributes>;
