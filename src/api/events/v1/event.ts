import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { type Field, int32, microTime, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { EventSource } from '../../core/v1/event-source.ts';
import { ObjectReference } from '../../core/v1/object-reference.ts';
import { checkImmutableField, sameValue } from '../../machinery/checks.ts';
import type { ApiObject } from '../../machinery/kind.ts';
import type { Report } from '../../machinery/validation.ts';
import type { Event as CoreEvent } from '../../core/v1/event.ts';
import { type EventView, eventColumns, involvedSelectors } from '../../core/v1/event-columns.ts';
import { validateEvent } from '../../core/v1/event-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const EventSeries = object('io.k8s.api.events.v1.EventSeries', {
  count: int32(1, { required: true, always: true }),
  lastObservedTime: microTime(2, { required: true, always: true }),
});
export type EventSeries = TypeOf<typeof EventSeries>;

export const Event = defineKind({
  group: 'events.k8s.io',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
  doc: 'Something that happened to an object, kept for an hour.',
  storedAs: { group: '', version: 'v1' },
  shortNames: ['ev'],
  type: 'io.k8s.api.events.v1.Event',
  fields: {
    action: string(6),
    deprecatedCount: int32(15),
    deprecatedFirstTimestamp: time(13, { always: true }),
    deprecatedLastTimestamp: time(14, { always: true }),
    deprecatedSource: struct(12, EventSource, { always: true }),
    eventTime: microTime(2, { required: true, always: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    note: string(10),
    reason: string(7),
    regarding: struct(8, ObjectReference, { always: true }),
    related: struct(9, ObjectReference),
    reportingController: string(4),
    reportingInstance: string(5),
    series: struct(3, EventSeries),
    type: string(11),
  },
  metadataChecks: { update: ['changed'] },
  columns: eventColumns(viewEvent),
  fieldSelectors: {
    ...involvedSelectors<ApiObject>('regarding', event => (event as CoreEvent).involvedObject),
    reason: event => event.reason ?? '',
    reportingController: event => (event as ApiObject as CoreEvent).reportingComponent ?? '',
    type: event => event.type ?? '',
  },
  createOnUpdate: true,
  garbageCollected: false,
  toStored: event => asCore(event),
  fromStored: stored => fromCore(stored as CoreEvent) as never,
  validate(event, report) {
    const { regarding, reportingController, note } = event;
    const parts = { involved: regarding, controller: reportingController, message: note };
    validateEvent(event, { ...parts, controllerField: 'reportingController' }, report);
  },
  validateCreate(event, report) {
    validateSeries(event.series, report);
    if (!event.eventTime) report.at('eventTime').required();
    if (event.type !== 'Normal' && event.type !== 'Warning')
      report.at('type').invalid('', `has invalid value: ${event.type ?? ''}`);
    const unset = 'needs to be unset';
    if (event.deprecatedFirstTimestamp) report.at('firstTimestamp').invalid('', unset);
    if (event.deprecatedLastTimestamp) report.at('lastTimestamp').invalid('', unset);
    if (event.deprecatedCount) report.at('count').invalid('', unset);
    if (event.deprecatedSource.component || event.deprecatedSource.host) report.at('source').invalid('', unset);
  },
  validateUpdate(event, old, report) {
    if (!sameValue(event.series, old.series)) validateSeries(event.series, report);
    for (const [name, stored] of immutableFields)
      checkImmutableField(Event.schema.fields[name] as Field, event[name], old[name], report.at(stored));
  },
});
export type Event = ObjectOf<typeof Event>;

/** Field → what upstream calls it in messages: those speak of the stored form. */
const immutableFields = [
  ['regarding', 'involvedObject'],
  ['reason', 'reason'],
  ['note', 'message'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
  // Upstream looks twice.
  ['reason', 'reason'],
  ['type', 'type'],
  ['eventTime', 'eventTime'],
  ['action', 'action'],
  ['related', 'related'],
  ['reportingController', 'reportingController'],
  ['reportingInstance', 'reportingInstance'],
] as const;

interface NewEvent extends ApiObject {
  readonly action?: string | undefined;
  readonly deprecatedCount?: number | undefined;
  readonly deprecatedFirstTimestamp?: string | null | undefined;
  readonly deprecatedLastTimestamp?: string | null | undefined;
  readonly deprecatedSource: EventSource;
  readonly eventTime: string | null;
  readonly note?: string | undefined;
  readonly reason?: string | undefined;
  readonly regarding: ObjectReference;
  readonly related?: ObjectReference | undefined;
  readonly reportingController?: string | undefined;
  readonly reportingInstance?: string | undefined;
  readonly series?: EventSeries | undefined;
  readonly type?: string | undefined;
}

/** Old and new events are the same objects under other names. */
function asCore(event: NewEvent): ApiObject {
  const { regarding, note, deprecatedCount, deprecatedFirstTimestamp, deprecatedLastTimestamp, ...rest } = event;
  const { deprecatedSource, reportingController, reportingInstance, ...same } = rest;
  return {
    ...same,
    ...(deprecatedCount !== undefined && { count: deprecatedCount }),
    firstTimestamp: deprecatedFirstTimestamp ?? null,
    lastTimestamp: deprecatedLastTimestamp ?? null,
    involvedObject: regarding,
    ...(note !== undefined && { message: note }),
    reportingComponent: reportingController ?? '',
    reportingInstance: reportingInstance ?? '',
    source: deprecatedSource,
  } as ApiObject;
}

function fromCore(event: CoreEvent): NewEvent {
  const { involvedObject, message, count, firstTimestamp, lastTimestamp, source, series, ...rest } = event;
  const { reportingComponent, reportingInstance, eventTime, ...same } = rest;
  return {
    ...same,
    ...(count !== undefined && { deprecatedCount: count }),
    deprecatedFirstTimestamp: firstTimestamp ?? null,
    deprecatedLastTimestamp: lastTimestamp ?? null,
    deprecatedSource: source,
    eventTime: eventTime ?? null,
    ...(message !== undefined && { note: message }),
    regarding: involvedObject,
    ...(reportingComponent && { reportingController: reportingComponent }),
    ...(reportingInstance && { reportingInstance }),
    ...(series && { series: { count: series.count ?? 0, lastObservedTime: series.lastObservedTime ?? '' } }),
  };
}

function viewEvent(event: NewEvent): EventView {
  const firstSeen = event.deprecatedFirstTimestamp || event.eventTime || undefined;
  return {
    metadata: event.metadata,
    type: event.type ?? '',
    reason: event.reason ?? '',
    message: event.note ?? '',
    involved: event.regarding,
    component: event.deprecatedSource.component || event.reportingController || '',
    instance: event.deprecatedSource.host || event.reportingInstance || '',
    firstSeen,
    lastSeen: event.series ? event.series.lastObservedTime : event.deprecatedLastTimestamp || firstSeen,
    count: event.series?.count ?? (event.deprecatedCount || 1),
  };
}

function validateSeries(series: EventSeries | undefined, report: Report): void {
  if (!series) return;
  if (series.count < 2) report.at('series.count').invalid('', 'should be at least 2');
  if (!series.lastObservedTime) report.at('series.lastObservedTime').required();
}
