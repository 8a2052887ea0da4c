import type { AdmissionPlugin, AdmissionRequest, Operation, Reinvocation } from '#admission/admission.ts';
import { wrongOwners } from '#api/machinery/apply/managed-fields.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import { tracedIfWaiting } from '#base/trace.ts';
import type { Call } from './call.ts';

/** The admission of one write: first everything that changes it, later everything that judges it. */
export class Admission {
  readonly #plugins: readonly AdmissionPlugin[];
  readonly #request: AdmissionRequest;
  readonly #looks = new Looks();

  constructor(call: Call, kind: Kind, about: AdmissionSubject) {
    this.#request = {
      kind,
      subresource: '',
      user: call.user,
      served: call.foundation.served,
      get signal() {
        return call.request.signal;
      },
      warn: message => call.warn(message),
      annotate: (key, value, level) => call.annotate(key, value, level),
      reinvocation: this.#looks,
      ...about,
    };
    this.#plugins = call.foundation.admission.filter(plugin => plugin.handles(this.#request));
  }

  async admit(): Promise<void> {
    const { object } = this.#request;
    const owners = object?.metadata.managedFields;
    await this.#mutate();
    if (this.#looks.isAsked) {
      this.#looks.isSecond = true;
      await this.#mutate();
    }
    if (object && object.metadata.managedFields !== owners) this.#keepOwners(object, owners);
  }

  /** What plugins and webhooks leave of the owners of fields must be readable. */
  #keepOwners({ metadata }: Draft<ApiObject>, before: Draft<ApiObject>['metadata']['managedFields']): void {
    const wrong = wrongOwners(metadata.managedFields ?? []);
    if (wrong === undefined) return;
    metadata.managedFields = before;
    this.#request.warn(
      `.metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: ${wrong}`,
    );
  }

  async #mutate(): Promise<void> {
    for (const plugin of this.#plugins) {
      // Most plugins have nothing to wait for.
      const pending = tracedIfWaiting(plugin.name, () => plugin.admit?.(this.#request) ?? undefined);
      if (pending) await pending;
    }
  }

  async validate(): Promise<void> {
    for (const plugin of this.#plugins) {
      const pending = tracedIfWaiting(plugin.name, () => plugin.validate?.(this.#request) ?? undefined);
      if (pending) await pending;
    }
  }
}

class Looks implements Reinvocation {
  isSecond = false;
  isAsked = false;

  ask(): void {
    this.isAsked = true;
  }
}

export interface AdmissionSubject {
  readonly operation: Operation;
  readonly subresource?: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: Draft<ApiObject> | undefined;
  readonly old: ApiObject | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly dryRun: boolean;
}
