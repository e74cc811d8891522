import { metrics } from '@cluster-image/distribution';
import { expect, test } from 'vitest';

test('what a server does is counted, for Prometheus', async () => {
  const counted = metrics(
    () => 5_000,
    () => 1234,
  );
  counted.count({ method: 'GET', status: 200, bytes: 10 });
  counted.count({ method: 'GET', status: 200, bytes: 5 });
  counted.count({ method: 'HEAD', status: 404, bytes: 0 });
  counted.count({ method: 'EVIL"}\n', status: 405, bytes: 1 });
  counted.fetched(100);
  const { headers, body } = counted.answer();
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const chunks = await Array.fromAsync(body?.content.open() ?? []);
  const lines = Buffer.concat(chunks).toString().split('\n');
  expect(lines.filter((line) => !line.startsWith('#'))).toEqual([
    'cluster_image_requests_total{method="GET",status="200"} 2',
    'cluster_image_requests_total{method="HEAD",status="404"} 1',
    'cluster_image_requests_total{method="other",status="405"} 1',
    'cluster_image_sent_bytes_total 16',
    'cluster_image_upstream_blobs_total 1',
    'cluster_image_upstream_bytes_total 100',
    'cluster_image_start_time_seconds 5',
    'cluster_image_resident_memory_bytes 1234',
    '',
  ]);
  expect(lines).toContain('# TYPE cluster_image_requests_total counter');
});
