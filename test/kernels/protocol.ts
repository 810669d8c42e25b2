/** What the guest reports on its second serial line: a JSON object a line. */
export type GuestLine =
  | { readonly kind: 'kernel'; readonly release: string }
  /** `detail`: what is wrong, or what was seen. */
  | {
      readonly kind: 'check';
      readonly name: string;
      readonly ok: boolean;
      readonly ms: number;
      readonly detail: string;
    }
  /** As `sluice status` tells it. */
  | { readonly kind: 'feature'; readonly name: string; readonly present: boolean; readonly effect: string }
  | { readonly kind: 'end' };
