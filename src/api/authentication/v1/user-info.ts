import { list, listOf, map, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const UserInfo = object('io.k8s.api.authentication.v1.UserInfo', {
  extra: map(4, listOf(types.string)),
  groups: list(3, types.string, { listType: 'atomic' }),
  uid: string(2),
  username: string(1),
});
export type UserInfo = TypeOf<typeof UserInfo>;
