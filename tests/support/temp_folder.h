/* temp_folder.h: a folder of a test's own, for the tests of every part. */
#ifndef TESTS_TEMP_FOLDER_H
#define TESTS_TEMP_FOLDER_H

/* "$TMPDIR/berth-PART-XXXXXX", made; the name is the caller's. The test fails where it cannot be made. */
char *test_folder_make(const char *part);
/* Removes it with all it holds (links, not what they name) and frees the name. The test fails where it cannot.
 */
void test_folder_remove(char *folder);

#endif /* TESTS_TEMP_FOLDER_H */
