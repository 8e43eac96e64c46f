// Distance filter over contiguous coordinates. Included inside the namespace of one instruction set.
#pragma once

inline std::size_t within_cutoff(const double* x, const double* y, const double* z, std::int32_t begin,
                                 std::int32_t end, const double* point, double limit, const Found& found,
                                 std::size_t n) {
    const double px = point[0], py = point[1], pz = point[2];
    std::int32_t j = begin;
#if defined(__AVX512F__)
    const __m512d vx = _mm512_set1_pd(px), vy = _mm512_set1_pd(py), vz = _mm512_set1_pd(pz);
    const __m512d vl = _mm512_set1_pd(limit);
    const Found to = found; // not read again after each store
    __m256i index = _mm256_add_epi32(_mm256_set1_epi32(begin), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    for (; j < end; j += 8) {
        const __mmask8 valid = end - j >= 8 ? 0xff : static_cast<__mmask8>((1u << (end - j)) - 1u);
        const __m512d dx = _mm512_sub_pd(_mm512_maskz_loadu_pd(valid, x + j), vx);
        const __m512d dy = _mm512_sub_pd(_mm512_maskz_loadu_pd(valid, y + j), vy);
        const __m512d dz = _mm512_sub_pd(_mm512_maskz_loadu_pd(valid, z + j), vz);
        const __m512d r2 = _mm512_fmadd_pd(dx, dx, _mm512_fmadd_pd(dy, dy, _mm512_mul_pd(dz, dz)));
        const __mmask8 hit = _mm512_mask_cmp_pd_mask(valid, r2, vl, _CMP_LT_OQ);
        if (hit != 0) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to.index + n), _mm256_maskz_compress_epi32(hit, index));
            _mm512_storeu_pd(to.x + n, _mm512_maskz_compress_pd(hit, dx));
            _mm512_storeu_pd(to.y + n, _mm512_maskz_compress_pd(hit, dy));
            _mm512_storeu_pd(to.z + n, _mm512_maskz_compress_pd(hit, dz));
            _mm512_storeu_pd(to.r2 + n, _mm512_maskz_compress_pd(hit, r2));
            n += static_cast<std::size_t>(__builtin_popcount(hit));
        }
        index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
    }
#else
    for (; j < end; ++j) {
        const double dx = x[j] - px, dy = y[j] - py, dz = z[j] - pz, r2 = dx * dx + dy * dy + dz * dz;
        // No branch: a miss is overwritten by the next candidate.
        found.index[n] = j;
        found.x[n] = dx, found.y[n] = dy, found.z[n] = dz, found.r2[n] = r2;
        n += r2 < limit;
    }
#endif
    return n;
}
