// SPDX-License-Identifier: MIT
// The kernels of firmware/node/dsp as one would write them in C: the measure for the viper code, compiled with
// gcc -O2. Same algorithms and results, natural loops; no unrolling by hand. Not used on any node.

#include <stdint.h>

void sum_squares(const int32_t *p, int n, int32_t *out) {
    int64_t sum = ((int64_t)out[1] << 16) + out[0];
    for (; n; n--) {
        int32_t x = *p++;
        sum += x * x;
    }
    out[0] = sum & 0xFFFF;
    out[1] = sum >> 16;
}

void mains_sums(const uint16_t *p, int n, int32_t *out) {
    int32_t sv = 0, si = 0, svv = 0, sii = 0, svi = 0;
    for (; n; n--) {
        int32_t v = p[0], i = p[1];
        sv += v;
        si += i;
        svv += v * v;
        sii += i * i;
        svi += v * i;
        p += 2;
    }
    out[0] = sv;
    out[1] = si;
    out[2] = svv;
    out[3] = sii;
    out[4] = svi;
}

void histogram(uint16_t *bins, const uint16_t *p, int n, int low, int shift) {
    for (; n; n--) {
        int x = (*p++ - low) >> shift;
        if (x < 0) x = 0;
        if (x > 255) x = 255;
        bins[x]++;
    }
}

int32_t median(int32_t *words, int n) {
    words[0] = -0x3FFFFFFF;
    for (int k = 2; k <= n; k++) {
        int32_t x = words[k];
        int32_t *p = &words[k - 1];
        while (*p > x) {
            p[1] = p[0];
            p--;
        }
        p[1] = x;
    }
    return words[(n + 1) >> 1];
}

void crc_table(uint32_t polynomial, uint32_t *table) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t x = n;
        for (int bit = 8; bit; bit--) x = x & 1 ? x >> 1 ^ polynomial : x >> 1;
        table[n] = x;
    }
}

uint32_t crc16(uint32_t x, const uint32_t *table, const uint8_t *p, int n) {
    for (; n; n--) x = table[(x ^ *p++) & 0xFF] ^ x >> 8;
    return x;
}

uint32_t crc32(uint32_t x, const uint32_t *table, const uint8_t *p, int n) {
    for (; n; n--) x = table[(x ^ *p++) & 0xFF] ^ x >> 8;
    return x;
}

int pack_bits(const uint16_t *p, int n, int width, uint8_t *out) {
    uint8_t *start = out;
    uint32_t acc = 0;
    int bits = 0;
    for (; n; n--) {
        acc = acc << width | *p++;
        bits += width;
        while (bits > 7) {
            bits -= 8;
            *out++ = acc >> bits;
        }
    }
    if (bits) *out++ = acc << (8 - bits);
    return out - start;
}

int rice_encode(const uint16_t *p, int n, int k, uint8_t *out) {
    uint8_t *start = out;
    uint32_t acc = 0;
    int bits = 0;
    for (; n; n--) {
        uint32_t v = *p++, q = v >> k;
        if (q < 8) {
            acc = acc << (1 + q) | ((2u << q) - 2);
            acc = acc << k | (v & ((1u << k) - 1));
            bits += 1 + q + k;
        } else {
            acc = acc << 24 | 0xFF0000 | v;
            bits += 24;
        }
        while (bits > 7) {
            bits -= 8;
            *out++ = acc >> bits;
        }
    }
    if (bits) *out++ = acc << (8 - bits);
    return out - start;
}

// The lx106 has no remainder instruction, every ESP32 has: REMU a8, a8, a9.
static inline uint32_t remainder(uint32_t x, uint32_t y) {
#ifdef __XTENSA__
    register uint32_t a __asm__("a8") = x;
    register uint32_t b __asm__("a9") = y;
    __asm__(".byte 0x90, 0x88, 0xe2" : "+r"(a) : "r"(b));
    return a;
#else
    return x % y;
#endif
}

static inline uint32_t prbs23(uint32_t x) { return x >> 1 | ((x ^ x >> 5) & 1) << 22; }

void parity_row_v1(uint8_t *row, uint32_t number, uint32_t columns) {
    uint32_t x = 1 + 1001 * number, modulus = columns + ((columns & (columns - 1)) == 0);
    for (uint32_t draws = columns >> 1; draws; draws--) {
        uint32_t r;
        do {
            x = prbs23(x);
            r = remainder(x, modulus);
        } while (r >= columns);
        row[r] = 1;
    }
}

void parity_row_v2(uint8_t *row, uint32_t number, uint32_t columns) {
    uint32_t x = 1 + 1001 * number, modulus = columns + ((columns & (columns - 1)) == 0);
    uint32_t draws = columns >> 1;
    while (draws) {
        x = prbs23(x);
        uint32_t r = remainder(x, modulus);
        if (r < columns && !row[r]) {
            row[r] = 1;
            draws--;
        }
    }
}

void xor_into(uint32_t *p, const uint32_t *q, int n) {
    for (; n; n--) *p++ ^= *q++;
}

void envelope(const int32_t *p, int n, int32_t *out) {
    for (; n; n--) {
        int32_t x = p[0], y = p[1];
        if (x < 0) x = -x;
        if (y < 0) y = -y;
        int32_t larger = x > y ? x : y, smaller = x > y ? y : x;
        *out++ = larger - (larger >> 3) + (smaller >> 1);
        p += 2;
    }
}
