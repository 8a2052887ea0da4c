import type { AdmissionPlugin, AdmissionRequest, Operation } from '#admission/admission.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import type { Call } from './call.ts';

/** The admission of one write: first everything that changes it, later everything that judges it. */
export class Admission {
  readonly #plugins: readonly AdmissionPlugin[];
  readonly #request: AdmissionRequest;

  constructor(call: Call, kind: Kind, about: AdmissionSubject) {
    this.#request = {
      kind,
      subresource: '',
      user: call.user,
      get signal() {
        return call.request.signal;
      },
      warn: message => call.warn(message),
      annotate: (key, value) => call.annotate(key, value),
      ...about,
    };
    this.#plugins = call.foundation.admission.filter(plugin => plugin.handles(this.#request));
  }

  async admit(): Promise<void> {
    for (const plugin of this.#plugins) if (plugin.admit) await plugin.admit(this.#request);
  }

  async validate(): Promise<void> {
    for (const plugin of this.#plugins) if (plugin.validate) await plugin.validate(this.#request);
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
