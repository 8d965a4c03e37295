import { plain, portContender } from './message-port.js';

export const contender = portContender('main', plain);
