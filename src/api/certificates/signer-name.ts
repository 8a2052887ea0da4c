import { byteLength, isDNS1123Label, isDNS1123Subdomain } from '../machinery/names.ts';
import type { Report } from '../machinery/validation.ts';

/** `example.com/name`: who is to sign. `report` stands at the field. */
export function checkSignerName(signerName: string, report: Report): void {
  if (signerName === '') {
    report.required();
    return;
  }
  const parts = signerName.split('/');
  if (parts.length !== 2) {
    report.invalid(signerName, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
    return;
  }
  const [domain = '', path = ''] = parts;
  if (byteLength(domain) > 253) report.tooLong(253);
  checkParts(domain, isDNS1123Label, report);
  if (domain.split('.').length < 2)
    report.invalid(domain, 'should be a domain with at least two segments separated by dots');
  checkParts(path, isDNS1123Subdomain, report);
  if (byteLength(signerName) > 571) report.tooLong(571);
}

/** The first wrong part is enough: the others would read the same. */
function checkParts(text: string, rule: (part: string) => readonly string[], report: Report): void {
  for (const part of text.split('.')) {
    const messages = rule(part);
    for (const message of messages) report.invalid(text, `validating label ${JSON.stringify(part)}: ${message}`);
    if (messages.length > 0) return;
  }
}
