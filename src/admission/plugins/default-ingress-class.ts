import { Ingress } from '#api/networking/v1/ingress.ts';
import { IngressClass } from '#api/networking/v1/ingress-class.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, draftOf } from '../request.ts';
import { defaultsAmong, type Sources } from '../sources.ts';

/** An Ingress without a class gets the default one. */
export function defaultIngressClass({ informers }: Sources): AdmissionPlugin {
  const classes = informers.of(IngressClass);
  return {
    name: 'DefaultIngressClass',
    handles: request => concerns(request, Ingress, 'CREATE'),
    admit(request) {
      const ingress = draftOf(Ingress, request);
      ingress.spec ??= {};
      if (ingress.spec.ingressClassName !== undefined) return;
      if (ingress.metadata.annotations?.['kubernetes.io/ingress.class'] !== undefined) return;
      const [chosen] = defaultsAmong(classes.objects.values(), ['ingressclass.kubernetes.io/is-default-class']);
      if (chosen?.metadata.name) ingress.spec.ingressClassName = chosen.metadata.name;
    },
  };
}
