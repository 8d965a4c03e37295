/** Compresses a segment of a log into another file; gives its bytes. Some 50 ms of one core for 4 MiB. */
export { packSegment } from '../lib/segments/segment.js';
