import { plain, portContender } from './message-port.js';

export const contender = portContender('direct', plain);
