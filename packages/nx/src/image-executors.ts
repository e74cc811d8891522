/** The executors that build an image, and leave it under the name in their `tag`. */
export const imageExecutors: readonly string[] = [
  '@cluster-image/nx:image',
  '@cluster-image/nx:build-image',
  '@cluster-image/nx:image-index',
];
