import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const EventSource = object('io.k8s.api.core.v1.EventSource', {
  component: string(1),
  host: string(2),
});
export type EventSource = TypeOf<typeof EventSource>;
