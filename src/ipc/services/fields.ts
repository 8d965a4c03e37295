import * as v from 'valibot';

/** Fields that several contracts share. */
export const bytes = v.instance(Uint8Array);
export const count = v.pipe(v.number(), v.integer(), v.minValue(0));
export const positive = v.pipe(v.number(), v.integer(), v.minValue(1));
export const name = v.pipe(v.string(), v.nonEmpty(), v.maxLength(128));
export const empty = v.strictObject({});
