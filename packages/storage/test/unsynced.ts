export { unsynced } from '@cluster-image/testing';
