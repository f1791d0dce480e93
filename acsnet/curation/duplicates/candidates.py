"""Candidate pairs of images: nearest neighbors in two embeddings instead of all pairs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from acsnet.curation.duplicates.description import Description, Float32Array
from acsnet.data.images import UInt8Array

# Neighbors per image in each embedding, for the image as it is and for its mirror image. Local features propose more
# than thumbnails, because they also recognize crops.
_FEATURE_NEIGHBORS = 8
_MIRRORED_FEATURE_NEIGHBORS = 4
_THUMBNAIL_NEIGHBORS = 3
_MIRRORED_THUMBNAIL_NEIGHBORS = 2
# Size of the embedding by local features: clusters of features, and dimensions of one feature and of the embedding
# after principal component analysis.
_CLUSTERS = 32
_FEATURE_DIMENSIONS = 48
_EMBEDDING_DIMENSIONS = 256
# A sample suffices to fit the embedding.
_MAX_FITTED_IMAGES = 4_000
_MAX_FITTED_FEATURES = 60_000
_SEED = 0
# Images embedded at once, which limits the memory.
_CHUNK_IMAGES = 200


def propose_pairs(descriptions: Sequence[Description], progress: bool = True) -> list[tuple[int, int, bool]]:
    """Propose pairs of images that may show the same scan: the nearest neighbors of each image.

    The neighbors of each image and of its mirror image are searched in two embeddings: the aggregated residuals of the
    local features (VLAD, Jegou et al. 2010, CVPR), which preserve the content that a crop shares with its source, and
    the thumbnail. The search is exhaustive, as one matrix product; up to about 50,000 images its cost is negligible.

    Returns:
        Tuples (first, second, mirrored) with first < second, sorted, without repetition.
    """
    if len(descriptions) < 2:
        return []
    embedding = _Embedding(descriptions)
    features, thumbnails = embedding(descriptions, False, progress)
    mirrored_features, mirrored_thumbnails = embedding(descriptions, True, progress)
    searches = (
        (features, features, _FEATURE_NEIGHBORS, False),
        (features, mirrored_features, _MIRRORED_FEATURE_NEIGHBORS, True),
        (thumbnails, thumbnails, _THUMBNAIL_NEIGHBORS, False),
        (thumbnails, mirrored_thumbnails, _MIRRORED_THUMBNAIL_NEIGHBORS, True),
    )
    pairs: set[tuple[int, int, bool]] = set()
    for base, queries, count, mirrored in searches:
        for first, neighbors in enumerate(_nearest(base, queries, count).tolist()):
            pairs.update((min(first, second), max(first, second), mirrored) for second in neighbors if second != first)
    return sorted(pairs)


def _nearest(base: Float32Array, queries: Float32Array, count: int) -> npt.NDArray[np.intp]:
    """Return the positions (N, count + 1) of the nearest vectors in ``base``; a query may find itself."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(count + 1, len(base)), algorithm="brute").fit(base)
    return search.kneighbors(queries, return_distance=False)


class _Embedding:
    """Unit vectors from local features, fitted to a sample of the images."""

    def __init__(self, descriptions: Sequence[Description]) -> None:
        from sklearn.cluster import MiniBatchKMeans
        from sklearn.decomposition import PCA

        generator = np.random.default_rng(_SEED)
        sample = generator.permutation(len(descriptions))[:_MAX_FITTED_IMAGES]
        features_of_images = [descriptions[index].features for index in sample.tolist()]
        features = np.concatenate(features_of_images)
        features = features[generator.permutation(len(features))[:_MAX_FITTED_FEATURES]].astype(np.float32) / 255
        self._feature_pca: PCA | None = None
        self._embedding_pca: PCA | None = None
        if len(features) < _FEATURE_DIMENSIONS:
            # Flat images: only their thumbnails can be compared.
            return
        self._feature_pca = PCA(_FEATURE_DIMENSIONS, random_state=_SEED).fit(features)
        self._clusters = MiniBatchKMeans(
            min(_CLUSTERS, len(features)), random_state=_SEED, n_init=1, batch_size=4096
        ).fit(self._feature_pca.transform(features))
        aggregated = self._aggregate(features_of_images)
        dimensions = min(_EMBEDDING_DIMENSIONS, *aggregated.shape)
        self._embedding_pca = PCA(dimensions, random_state=_SEED).fit(aggregated)

    def __call__(
        self, descriptions: Sequence[Description], mirrored: bool, progress: bool
    ) -> tuple[Float32Array, Float32Array]:
        """Return the embeddings by local features (N, D) and by thumbnails (N, 256)."""
        by_features, by_thumbnails = [], []
        starts = range(0, len(descriptions), _CHUNK_IMAGES)
        for start in tqdm(starts, desc="embedding", leave=False, disable=None if progress else True):
            chunk = descriptions[start : start + _CHUNK_IMAGES]
            chunk = [description.mirrored() for description in chunk] if mirrored else chunk
            by_thumbnails.append(np.stack([description.thumbnail for description in chunk]))
            if self._embedding_pca is None:
                by_features.append(np.zeros((len(chunk), 1), np.float32))
            else:
                embedded = self._embedding_pca.transform(self._aggregate([d.features for d in chunk])).astype(
                    np.float32
                )
                by_features.append(_normalize(embedded))
        return np.concatenate(by_features), np.concatenate(by_thumbnails)

    def _aggregate(self, features_of_images: Sequence[UInt8Array]) -> Float32Array:
        """Sum the residuals of the features per cluster, normalized: (N, clusters * dimensions)."""
        assert self._feature_pca is not None
        centers = self._clusters.cluster_centers_.astype(np.float32)
        residuals = np.zeros((len(features_of_images), *centers.shape), np.float32)
        for index, image_features in enumerate(features_of_images):
            if not len(image_features):
                continue
            features = self._feature_pca.transform(image_features.astype(np.float32) / 255).astype(np.float32)
            nearest = (features @ centers.T - (centers**2).sum(axis=1) / 2).argmax(axis=1)
            np.add.at(residuals[index], nearest, features - centers[nearest])
        # Each cluster is normalized by itself, and large values are damped: otherwise a feature that an image has a
        # hundred times would outweigh all others.
        residuals = _normalize(residuals)
        return _normalize((np.sign(residuals) * np.sqrt(np.abs(residuals))).reshape(len(residuals), -1))


def _normalize(vectors: Float32Array) -> Float32Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
