/*
 * Ask a maps file all that PROCMAP_QUERY can be asked, and print every answer.
 *
 *     procmap_client MAPS [SMAPS]
 *
 * What is printed depends on the VMAs alone, so that two files of the same VMAs can be compared.
 * Source: include/uapi/linux/fs.h; PROCMAP_QUERY(2const).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};

#define QUERY _IOWR('f', 17, struct query)
#define COVERING_OR_NEXT 0x10
#define FILE_BACKED 0x20
#define PAGE 4096
#define MOST 4096
/* VMAs that are asked with every flag, every size of a build id, and wrong buffers. */
#define SOME 4

static int fd;
static struct query vmas[MOST];
static int vma_count;
static char name[2 * PAGE];
static unsigned char build_id[64];

static void print_bytes(const unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		printf("%02x", bytes[i]);
}

/* The struct as it is left, but addresses of this process; then both buffers up to `room`. */
static void print_answer(const struct query *q, size_t room)
{
	printf(" %llx-%llx %llx %llu %llx %x:%x %llu name %u id %u [",
	       (unsigned long long)q->vma_start, (unsigned long long)q->vma_end,
	       (unsigned long long)q->vma_flags, (unsigned long long)q->vma_page_size,
	       (unsigned long long)q->vma_offset, q->dev_major, q->dev_minor,
	       (unsigned long long)q->inode, q->vma_name_size, q->build_id_size);
	fwrite(name, 1, strnlen(name, room), stdout);
	printf("] ");
	print_bytes(build_id, room ? sizeof(build_id) : 0);
	printf("\n");
}

static void ask(const char *label, struct query *q, unsigned long request)
{
	int result = ioctl(fd, request, q);

	printf("%s:", label);
	if (result < 0)
		printf(" %s;", strerror(errno));
	else
		printf(" %d;", result);
}

static void reset(struct query *q, uint64_t flags, uint64_t addr)
{
	memset(q, 0, sizeof(*q));
	memset(name, 0, sizeof(name));
	memset(build_id, 0, sizeof(build_id));
	q->size = sizeof(*q);
	q->query_flags = flags;
	q->query_addr = addr;
}

static void want(struct query *q, uint32_t name_size, uint32_t id_size)
{
	q->vma_name_size = name_size;
	q->vma_name_addr = name_size ? (uintptr_t)name : 0;
	q->build_id_size = id_size;
	q->build_id_addr = id_size ? (uintptr_t)build_id : 0;
}

static void walk(void)
{
	struct query q;
	uint64_t addr = 0;

	while (vma_count < MOST) {
		reset(&q, COVERING_OR_NEXT, addr);
		want(&q, PAGE, 20);
		if (ioctl(fd, QUERY, &q) < 0)
			break;
		vmas[vma_count++] = q;
		addr = q.vma_end;
		printf("walk:");
		print_answer(&q, sizeof(name));
	}
	printf("walk ends: %s\n", strerror(errno));
}

/* Every flag, known or not, at every edge of a VMA. */
static void flags_at(const struct query *vma)
{
	uint64_t places[] = { vma->vma_start - 1, vma->vma_start, vma->vma_start + 1,
			      vma->vma_end - 1, vma->vma_end };
	struct query q;
	char label[64];

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		for (uint64_t flags = 0; flags <= 0x40; flags++) {
			reset(&q, flags, places[i]);
			snprintf(label, sizeof(label), "flags %llx at %llx",
				 (unsigned long long)flags, (unsigned long long)places[i]);
			ask(label, &q, QUERY);
			print_answer(&q, 0);
		}
}

static void names_of(const struct query *vma)
{
	uint32_t length = vma->vma_name_size;
	uint32_t sizes[] = { 1, 2, length - 1, length, length + 1, PAGE - 1, PAGE, PAGE + 1,
			     2 * PAGE, UINT32_MAX };
	struct query q;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		if (!sizes[i])
			continue;
		reset(&q, 0, vma->vma_start);
		want(&q, sizes[i], 0);
		ask("name", &q, QUERY);
		print_answer(&q, sizeof(name));
	}
}

static void build_ids_of(const struct query *vma)
{
	uint32_t ids[] = { 1, 8, 19, 20, 21, 64, UINT32_MAX };
	struct query q;

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		reset(&q, 0, vma->vma_start);
		want(&q, 0, ids[i]);
		ask("build id", &q, QUERY);
		print_answer(&q, sizeof(name));
	}
}

/* Structs of other kernels, shorter and longer. What is after a shorter one must stay. */
static void sizes_of(const struct query *vma)
{
	static union {
		struct query q;
		unsigned char bytes[2 * PAGE];
	} room;
	uint64_t sizes[] = { 8, 23, 24, 25, 40, 48, 96, 103, 104, 105, 112, 200, PAGE,
			     PAGE + 1, UINT64_MAX };
	unsigned char tails[] = { 0, 1 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (size_t tail = 0; tail < sizeof(tails); tail++) {
			memset(&room, 0, sizeof(room));
			reset(&room.q, COVERING_OR_NEXT, vma->vma_start);
			room.q.size = sizes[i];
			if (sizes[i] < sizeof(room.q))
				memset(room.bytes + sizes[i], 0xee, sizeof(room) - sizes[i]);
			if (sizes[i] > sizeof(room.q) && sizes[i] < sizeof(room))
				room.bytes[sizes[i] - 1] = tails[tail];
			printf("struct of %llu, tail %d", (unsigned long long)sizes[i],
			       tails[tail]);
			ask("", &room.q, QUERY);
			printf(" ");
			print_bytes(room.bytes, 128);
			printf("\n");
		}
}

static void wrong_buffers(const struct query *vma, unsigned char *pages)
{
	/* pages: writable, read-only, writable, not accessible */
	uint64_t places[] = { 8, (uintptr_t)pages + PAGE, (uintptr_t)pages + PAGE - 7,
			      (uintptr_t)pages + 3 * PAGE, (uintptr_t)pages + 3 * PAGE - 5,
			      (uintptr_t)pages + 100, 1ULL << 63, UINT64_MAX - 3 };
	struct query q;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		for (int id = 0; id < 2; id++) {
			memset(pages, 'x', PAGE);
			memset(pages + 2 * PAGE, 'x', PAGE);
			reset(&q, 0, vma->vma_start);
			want(&q, PAGE, 20);
			*(id ? &q.build_id_addr : &q.vma_name_addr) = places[i];
			printf("%s in place %zu", id ? "build id" : "name", i);
			ask("", &q, QUERY);
			print_answer(&q, sizeof(name));
			printf("left: ");
			print_bytes(pages + PAGE - 16, 16);
			printf(" ");
			print_bytes(pages + 3 * PAGE - 16, 16);
			printf(" ");
			print_bytes(pages + 100, 64);
			printf("\n");
		}
	for (int which = 0; which < 4; which++) {
		reset(&q, 0, vma->vma_start);
		want(&q, PAGE, 20);
		switch (which) {
		case 0: q.vma_name_addr = 0; break;
		case 1: q.vma_name_size = 0; break;
		case 2: q.build_id_addr = 0; break;
		case 3: q.build_id_size = 0; break;
		}
		printf("half a buffer %d", which);
		ask("", &q, QUERY);
		print_answer(&q, sizeof(name));
	}
}

/* The name goes into the struct itself, whose fields are written over it. */
static void name_in_struct(const struct query *vma)
{
	struct query q;

	reset(&q, 0, vma->vma_start);
	want(&q, PAGE, 0);
	q.vma_name_addr = (uintptr_t)&q + 24;
	q.vma_name_size = 64;
	printf("name in the struct");
	ask("", &q, QUERY);
	print_answer(&q, 0);
}

static void wrong_structs(const struct query *vma, unsigned char *pages)
{
	/* At the end of what is writable; across; only readable; nowhere */
	uint64_t places[] = { (uintptr_t)pages + PAGE - sizeof(struct query),
			      (uintptr_t)pages + PAGE - 40, (uintptr_t)pages + PAGE + 40,
			      (uintptr_t)pages + 3 * PAGE - 96, (uintptr_t)pages + 3 * PAGE, 0,
			      1ULL << 63 };
	struct query q;

	reset(&q, COVERING_OR_NEXT, vma->vma_start);
	mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE);
	memcpy(pages + PAGE - 40, &q, sizeof(q));
	memcpy(pages + PAGE - 40 - sizeof(q), &q, sizeof(q));
	memcpy(pages + PAGE + 72, &q, sizeof(q));
	memcpy(pages + 3 * PAGE - 96, &q, 96);
	places[0] -= 40;
	places[2] += 32;
	mprotect(pages + PAGE, PAGE, PROT_READ);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		printf("struct in place %zu", i);
		ask("", (struct query *)(uintptr_t)places[i], QUERY);
		printf(" ");
		print_bytes(pages + PAGE - 200, 200);
		printf("\n");
	}
}

static void other_requests(const struct query *vma)
{
	unsigned long requests[] = { _IOWR('f', 17, char[48]), _IOWR('f', 18, struct query),
				     _IOR('f', 17, struct query), _IO('f', 17), 0x5401 /* TCGETS */ };
	char label[64];
	struct query q;

	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		reset(&q, 0, vma->vma_start);
		snprintf(label, sizeof(label), "request %lx", requests[i]);
		ask(label, &q, requests[i]);
		print_answer(&q, 0);
	}
}

static void everywhere(void)
{
	uint64_t places[] = { 0, 1, PAGE, 1ULL << 47, (1ULL << 47) - PAGE, 1ULL << 63,
			      0xffffffffff600000, 0xffffffffff5fffff, UINT64_MAX };
	uint64_t flags[] = { 0, COVERING_OR_NEXT, COVERING_OR_NEXT | FILE_BACKED, 1ULL << 32,
			     1ULL << 63, UINT64_MAX };
	char label[64];
	struct query q;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		for (size_t j = 0; j < sizeof(flags) / sizeof(*flags); j++) {
			reset(&q, flags[j], places[i]);
			want(&q, PAGE, 20);
			snprintf(label, sizeof(label), "flags %llx at %llx",
				 (unsigned long long)flags[j], (unsigned long long)places[i]);
			ask(label, &q, QUERY);
			print_answer(&q, sizeof(name));
		}
}

static int open_or_die(const char *path)
{
	int opened = open(path, O_RDONLY | O_CLOEXEC);

	if (opened < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	return opened;
}

int main(int argc, char **argv)
{
	unsigned char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct query q;

	if (argc < 2 || pages == MAP_FAILED) {
		fprintf(stderr, "usage: %s MAPS [SMAPS]\n", argv[0]);
		return 2;
	}
	mprotect(pages + PAGE, PAGE, PROT_READ);
	mprotect(pages + 3 * PAGE, PAGE, PROT_NONE);
	fd = open_or_die(argv[1]);
	walk();
	everywhere();
	for (int i = 0; i < vma_count; i++) {
		names_of(&vmas[i]);
		if (i < SOME) {
			flags_at(&vmas[i]);
			build_ids_of(&vmas[i]);
			wrong_buffers(&vmas[i], pages);
		}
	}
	if (vma_count) {
		name_in_struct(&vmas[0]);
		sizes_of(&vmas[0]);
		wrong_structs(&vmas[0], pages);
		other_requests(&vmas[0]);
	}
	if (argc > 2) {
		fd = open_or_die(argv[2]);
		reset(&q, COVERING_OR_NEXT, 0);
		ask("smaps", &q, QUERY);
		print_answer(&q, 0);
	}
	return 0;
}
