import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, microTime, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { EventSource } from './event-source.ts';
import { ObjectReference } from './object-reference.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const EventSeries = object('io.k8s.api.core.v1.EventSeries', {
  count: int32(1),
  lastObservedTime: microTime(2),
});
export type EventSeries = TypeOf<typeof EventSeries>;

export const Event = defineKind({
  group: '',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
  shortNames: ['ev'],
  type: 'io.k8s.api.core.v1.Event',
  fields: {
    action: string(12),
    count: int32(8),
    eventTime: microTime(10),
    firstTimestamp: time(6),
    involvedObject: struct(2, ObjectReference, { required: true, always: true }),
    lastTimestamp: time(7),
    message: string(4),
    metadata: struct(1, ObjectMeta, { required: true }),
    reason: string(3),
    related: struct(13, ObjectReference),
    reportingComponent: string(14, { always: true }),
    reportingInstance: string(15, { always: true }),
    series: struct(11, EventSeries),
    source: struct(5, EventSource, { always: true }),
    type: string(9),
  },
});
export type Event = ObjectOf<typeof Event>;
