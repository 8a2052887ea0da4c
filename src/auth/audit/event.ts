import type { Status } from '#api/machinery/errors.ts';
import type { User } from '../user.ts';

export const auditLevels = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
export type AuditLevel = (typeof auditLevels)[number];

export const auditStages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;
export type AuditStage = (typeof auditStages)[number];

/** audit.k8s.io/v1 Event, with its fields in upstream's order. */
export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: AuditLevel;
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: AuditUser;
  readonly impersonatedUser?: AuditUser;
  readonly authenticationMetadata?: { readonly impersonationConstraint: string };
  readonly sourceIPs?: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: ObjectReference;
  readonly responseStatus?: AuditStatus;
  /** JSON already: what was sent is changed later, and what is answered is large. */
  readonly requestObject?: string;
  readonly responseObject?: string;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface AuditUser {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface ObjectReference {
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly apiGroup?: string;
  readonly apiVersion?: string;
  readonly resourceVersion?: string;
  readonly subresource?: string;
}

export type AuditStatus = Partial<Omit<Status, 'kind' | 'apiVersion'>> & { readonly metadata: object };

/** An event with its JSON: what is measured, written and sent is the same text. */
export interface EncodedEvent {
  readonly event: AuditEvent;
  readonly json: string;
}

export function encodeEvent(event: AuditEvent): EncodedEvent {
  const { requestObject, responseObject, requestReceivedTimestamp, stageTimestamp, annotations, ...first } = event;
  const last = JSON.stringify({ requestReceivedTimestamp, stageTimestamp, annotations });
  const objects = [
    ...(requestObject === undefined ? [] : [`"requestObject":${requestObject}`]),
    ...(responseObject === undefined ? [] : [`"responseObject":${responseObject}`]),
  ];
  return { event, json: [JSON.stringify(first).slice(0, -1), ...objects, last.slice(1)].join(',') };
}

export function auditUserOf({ name, uid, groups, extra }: User): AuditUser {
  return {
    ...(name !== '' && { username: name }),
    ...(uid !== undefined && uid !== '' && { uid }),
    ...(groups.length > 0 && { groups }),
    ...(extra && Object.keys(extra).length > 0 && { extra }),
  };
}

export function atLeast(level: AuditLevel, wanted: AuditLevel): boolean {
  return auditLevels.indexOf(level) >= auditLevels.indexOf(wanted);
}

/** One line of text, as upstream's format of old. */
export function legacyLine(event: AuditEvent): string {
  const list = (values: readonly string[]) => values.map(quoted).join(',');
  const { user, impersonatedUser, objectRef, responseStatus, sourceIPs = [] } = event;
  const isNamed = user.username !== undefined;
  const groups = isNamed && user.groups ? list(user.groups) : '<none>';
  const asGroups = impersonatedUser?.groups ? list(impersonatedUser.groups) : '<lookup>';
  const fields = [
    `id=${quoted(event.auditID)}`,
    `stage=${quoted(event.stage)}`,
    `ip=${quoted(sourceIPs[0] ?? '<unknown>')}`,
    `method=${quoted(event.verb)}`,
    `user=${quoted(user.username ?? '<none>')}`,
    `groups=${quoted(groups)}`,
    `as=${quoted(impersonatedUser?.username ?? '<self>')}`,
    `asgroups=${quoted(asGroups)}`,
    `user-agent=${quoted(event.userAgent ?? '')}`,
    `namespace=${quoted(objectRef?.namespace ?? '<none>')}`,
    `uri=${quoted(event.requestURI)}`,
    `response="${responseStatus?.code ?? '<deferred>'}"`,
  ];
  return `${event.requestReceivedTimestamp} AUDIT: ${fields.join(' ')}`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
