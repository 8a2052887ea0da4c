import { nameColumn, text, wide } from '../../machinery/columns.ts';
import { formatAge } from '../../machinery/duration.ts';
import type { ApiObject, Column } from '../../machinery/kind.ts';
import type { ObjectReference } from './object-reference.ts';

/** An event as both of its versions can be read. */
export interface EventView extends ApiObject {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly involved: ObjectReference;
  readonly component: string;
  readonly instance: string;
  readonly firstSeen: string | undefined;
  readonly lastSeen: string | undefined;
  readonly count: number;
}

/** What `kubectl get events` shows; `view` reads the version at hand. */
export function eventColumns<Event extends ApiObject>(view: (event: Event) => EventView): readonly Column<Event>[] {
  return [
    text('Last Seen', 'Time since it happened the last time.', (event: Event, nowMs) =>
      formatAge(view(event).lastSeen, nowMs),
    ),
    text('Type', 'Normal or Warning.', (event: Event) => view(event).type),
    text('Reason', 'Why, in one word.', (event: Event) => view(event).reason),
    text('Object', 'What it happened to.', (event: Event) => {
      const { kind = '', name = '' } = view(event).involved;
      return name === '' ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`;
    }),
    wide(text('Subobject', 'Which part of it.', (event: Event) => view(event).involved.fieldPath ?? '')),
    wide(
      text('Source', 'Who saw it.', (event: Event) => {
        const { component, instance } = view(event);
        return instance === '' ? component : `${component}, ${instance}`;
      }),
    ),
    text('Message', 'What happened.', (event: Event) => view(event).message.trim()),
    wide(
      text('First Seen', 'Time since it happened the first time.', (event: Event, nowMs) =>
        formatAge(view(event).firstSeen, nowMs),
      ),
    ),
    wide(text('Count', 'How often it happened.', (event: Event) => view(event).count)),
    wide({ ...text('Name', 'Name of the event.', (event: Event) => event.metadata.name ?? ''), type: nameColumn.type }),
  ];
}

/** The field selectors for the object an event is about. */
export function involvedSelectors<Event>(
  prefix: string,
  involved: (event: Event) => ObjectReference | undefined,
): Readonly<Record<string, (event: Event) => string>> {
  const fields = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'] as const;
  return Object.fromEntries(
    fields.map(field => [`${prefix}.${field}`, (event: Event) => involved(event)?.[field] ?? '']),
  );
}
