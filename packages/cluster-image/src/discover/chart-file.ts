import { OciError, readText, type Tree } from '@cluster-image/oci';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { followed } from '../follow.ts';

/** The most that the description of a chart may hold, in bytes. */
const fileLimit = 1024 * 1024;

const text = z.string().optional().catch(undefined);

const dependencySchema = z.object({
  name: z.string(),
  version: text,
  repository: text,
  alias: text,
});

/** What a chart says it depends on. */
export type ChartDependency = Readonly<z.infer<typeof dependencySchema>>;

const dependenciesSchema = z.object({
  dependencies: z.array(dependencySchema.nullable().catch(null)).nullish().catch(undefined),
});

const chartSchema = dependenciesSchema.extend({ name: z.string(), version: text, type: text });

/** What is said of a chart in its `Chart.yaml`. */
export interface ChartFile {
  /** Checked, for it becomes a part of paths. */
  readonly name: string;
  readonly version: string;
  /** It renders to nothing by itself. */
  readonly isLibrary: boolean;
  readonly dependencies: readonly ChartDependency[];
}

/**
 * Reads the description of a chart, dependencies of the older `requirements.yaml` included. Throws
 * INPUT_INVALID. https://helm.sh/docs/topics/charts/#the-chartyaml-file
 */
export async function readChartFile(chart: Tree): Promise<ChartFile> {
  const file = await yamlAt(chart, 'Chart.yaml');
  if (file === undefined) throw invalid('Chart.yaml', 'there is no such file');
  const { success, data } = chartSchema.safeParse(file);
  if (!success) throw invalid('Chart.yaml', 'it has no name');
  const { name, version = '', type } = data;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw invalid('Chart.yaml', `${JSON.stringify(name)} is not a chart name`);
  }
  const older = dependenciesSchema.safeParse(await yamlAt(chart, 'requirements.yaml')).data;
  const dependencies = [...(data.dependencies ?? []), ...(older?.dependencies ?? [])];
  return {
    name,
    version,
    isLibrary: type === 'library',
    dependencies: dependencies.filter((dependency) => dependency !== null),
  };
}

/** Undefined where there is no such file. */
async function yamlAt(chart: Tree, path: string): Promise<unknown> {
  const file = await followed(chart, path);
  if (!file) return undefined;
  if (file.content.size > fileLimit) throw invalid(path, `it has over ${fileLimit} bytes`);
  const text = await readText(file.content, fileLimit);
  try {
    // Null is what an empty file holds.
    return parseDocument(text, { logLevel: 'silent' }).toJS() ?? null;
  } catch {
    throw invalid(path, 'it is not YAML');
  }
}

function invalid(file: string, why: string): OciError {
  return new OciError('INPUT_INVALID', `${file}: ${why}`, {
    hint: 'A chart names itself in Chart.yaml: https://helm.sh/docs/topics/charts/',
  });
}
